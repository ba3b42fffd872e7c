"""What a study may not combine with privacy."""

from __future__ import annotations

from fedvox.common.study.privacy_section import PrivacySection
from fedvox.common.study.sections import (
    ParticipationSection,
    StrategySection,
    TrainingSection,
)

_SUMMED = ("fedavg", "fedprox", "fedavgm", "fedadam", "fedyogi", "fedadagrad")
"""Strategies that look at nothing but the sum of the sites."""


def require_sound(
    privacy: PrivacySection,
    training: TrainingSection,
    strategy: StrategySection,
    participation: ParticipationSection,
) -> None:
    """Raises ValueError naming the key that would make the promise empty."""
    if privacy.mode == "none":
        return
    if not privacy.epsilon and not privacy.noise_multiplier:
        raise ValueError(
            "privacy.epsilon: is 0, and so is privacy.noise_multiplier; one of them must say how "
            "much noise there is, as in privacy.epsilon=8"
        )
    if privacy.placement == "distributed":
        _require_summable(privacy, training, strategy, participation)


def _require_summable(
    privacy: PrivacySection,
    training: TrainingSection,
    strategy: StrategySection,
    participation: ParticipationSection,
) -> None:
    if training.local_steps > 1:
        raise ValueError(
            "training.local_steps: a share of the noise hides a patient only where every step is "
            "summed over the sites; --set training.local_steps=1, or privacy.placement=local"
        )
    if training.optimizer != "sgd":
        raise ValueError(
            f"training.optimizer: what {training.optimizer} makes of a share of the noise does not "
            "add up to the noise of the sum; --set training.optimizer=sgd, and let the coordinator "
            "adapt, as with strategy.name=fedadam"
        )
    if strategy.name not in _SUMMED:
        raise ValueError(
            f"strategy.name: {strategy.name} looks at each site's update, which only a share of "
            f"the noise protects; use one of {', '.join(_SUMMED)}"
        )
    if strategy.weighting != "uniform":
        raise ValueError(
            "strategy.weighting: shares of the noise are equal, so sites must count the same; "
            "--set strategy.weighting=uniform"
        )
    if not privacy.delta and not privacy.noise_multiplier:
        raise ValueError(
            "privacy.delta: follows from each site's patients, but sites that share the noise must "
            "all find the same; give one that is below one over the patients of the largest site, "
            "as in --set privacy.delta=1e-4"
        )
    if privacy.adaptive_clip:
        raise ValueError(
            "privacy.adaptive_clip: each site would follow a norm of its own by a count that only "
            "a share of the noise protects; switch it off"
        )
    if privacy.honest_sites > participation.min_sites:
        raise ValueError(
            f"privacy.honest_sites: {privacy.honest_sites} are assumed to add their share, but a "
            f"round is closed on {participation.min_sites}; raise participation.min_sites"
        )
