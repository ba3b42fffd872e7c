"""Strategies by the name that the study file gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fedvox.common.errors import StudyError, nearest
from fedvox.common.study.schema import Study
from fedvox.common.study.sections import StrategySection
from fedvox.server.strategies.ditto import ditto
from fedvox.server.strategies.fedadagrad import fedadagrad
from fedvox.server.strategies.fedadam import fedadam
from fedvox.server.strategies.fedavg import fedavg
from fedvox.server.strategies.fedavgm import fedavgm
from fedvox.server.strategies.fedbn import fedbn
from fedvox.server.strategies.fedprox import fedprox
from fedvox.server.strategies.fedyogi import fedyogi
from fedvox.server.strategies.scaffold import scaffold
from fedvox.server.strategies.smoothed import Smoothed
from fedvox.server.strategies.strategy import Strategy

FLOWER = "flower:"

STRATEGIES: Mapping[str, Callable[[StrategySection], Strategy]] = {
    "fedavg": fedavg,
    "fedprox": fedprox,
    "fedavgm": fedavgm,
    "fedadam": fedadam,
    "fedyogi": fedyogi,
    "fedadagrad": fedadagrad,
    "scaffold": scaffold,
    "fedbn": fedbn,
    "ditto": ditto,
}

_FLOWER_HINTS = {
    "krum": "Krum",
    "multikrum": "MultiKrum",
    "bulyan": "Bulyan",
    "median": "FedMedian",
    "fedmedian": "FedMedian",
    "trimmedmean": "FedTrimmedAvg",
    "trimmedavg": "FedTrimmedAvg",
    "fedtrimmedavg": "FedTrimmedAvg",
    "qfedavg": "QFedAvg",
}
"""What people call strategies that only Flower has; letters only."""


def strategy_for(study: Study) -> Strategy:
    """The strategy that `study.strategy.name` names, with the section's settings."""
    strategy = _named(study.strategy)
    return Smoothed(strategy, study.strategy.ema) if study.strategy.ema else strategy


def _named(settings: StrategySection) -> Strategy:
    if settings.name.startswith(FLOWER):
        # Flower takes a second to import, and most studies do not need it here.
        from fedvox.server.strategies.flower import flower

        return flower(settings)
    if settings.name not in STRATEGIES:
        raise StudyError(f"strategy.name: no strategy {settings.name!r}; {_hint(settings.name)}")
    if settings.options:
        raise StudyError(
            f"strategy.options: only for strategies named {FLOWER}CLASS; {settings.name} takes the "
            "keys of [strategy] itself"
        )
    return STRATEGIES[settings.name](settings)


def _hint(name: str) -> str:
    letters = "".join(character for character in name.lower() if character.isalpha())
    if letters in _FLOWER_HINTS:
        return f"did you mean '{FLOWER}{_FLOWER_HINTS[letters]}'?"
    return f"{nearest(name.lower(), STRATEGIES)}; or {FLOWER}CLASS for one that Flower ships"
