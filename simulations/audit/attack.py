"""Canaries put among a site's patients, and the site's own private rounds run on them.

Nothing here trains: the requests go to the product's Site, with its ledger, outbox, sampling,
clipping, noise and its check before release. The attacker sees every noisy step, which is what is
charged for, and more than the sum of a round that would leave the site.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedvox.client.site import Roster, Site
from fedvox.client.state import SiteState
from fedvox.client.store import Store
from fedvox.client.training.private.clipping import trainable
from fedvox.common.arrays import add, sha256_of
from fedvox.common.errors import FedvoxError, Refusal
from fedvox.common.messages import Reply, Request
from fedvox.common.privacy.adaptive_clip import split_of_step
from fedvox.common.privacy.bucket import bucketed
from fedvox.common.privacy.terms import Terms, divisor_for, terms_for
from fedvox.common.study import Study, contract_hash, dump_study, parse_study, study_hash
from fedvox.common.tasks.task import initial_weights
from fedvox.simulations.audit.canaries import (
    Canaries,
    CanaryEngine,
    ListeningStore,
    hatch,
    most_canaries,
)
from fedvox.simulations.audit.watching import SeenStep, Watch, WatchedLearner
from fedvox.simulations.guards import simulated_guard

Floats = npt.NDArray[np.float64]

_SAMPLED_PLACES = 4096
_CANARY_SEED, _PLACES_SEED, _OTHERS_SEED = 1, 2, 3


@dataclass(frozen=True)
class Target:
    """The site that is attacked, as its run has it."""

    study: Study
    site: str
    people: tuple[tuple[str, ...], ...]
    """The store keys of each training patient's cases."""
    store: Store

    @property
    def terms(self) -> Terms:
        """The study's terms at the site, without canaries."""
        return terms_for(self.study, bucketed(len(self.people)))


@dataclass(frozen=True)
class Attacked:
    """What was run, and what was seen of it."""

    terms: Terms
    """Of the steps that were run."""
    rounds: int
    people: tuple[tuple[str, ...], ...]
    """Patients, then the canaries that took part."""
    canaries: Canaries
    steps: Sequence[SeenStep]
    sizes: tuple[int, ...]
    """Numbers of each trainable tensor."""
    replies: tuple[Reply, ...]
    gradient_noise: float
    """Noise multiplier of what the site adds to the gradients."""
    adaptive: bool
    """Whether the clipping norm moves."""

    @property
    def refused(self) -> bool:
        """Whether the site's own check held an update back."""
        return any(reply.refusal is Refusal.UNSAFE for reply in self.replies)

    def drawn(self) -> npt.NDArray[np.bool_]:
        """[steps, patients] who was drawn."""
        return np.array(
            [[not step.drawn.isdisjoint(cases) for cases in self.people] for step in self.steps]
        )

    def clip_norms(self) -> Floats:
        """[steps] that the noise is measured by: the charged one, or as adaptive clipping moved it.

        NaN where that is not known, since nobody was drawn.
        """
        if not self.adaptive:
            return np.full(len(self.steps), self.terms.clip_norm)
        return np.array([step.clip_norm or math.nan for step in self.steps])

    def shown(self, seed: int) -> tuple[Floats, Floats]:
        """[steps, canaries] in units of the clipping norm, and the noise in it [steps].

        Where other sites add a share of the noise, the attacker sees no more than their sum.
        """
        if not self.steps:
            return np.zeros((0, len(self.canaries.coordinates))), np.zeros(0)
        shown = np.array([step.shown for step in self.steps])
        seen = shown / _filled(self.clip_norms(), self.terms.clip_norm)[:, None]
        charged = self.terms.placed.charged**2
        of_others = math.sqrt(max(charged - self.terms.placed.added**2, 0.0))
        noise = math.hypot(self.gradient_noise, of_others)
        rng = np.random.default_rng([seed, _OTHERS_SEED])
        return seen + of_others * rng.normal(size=seen.shape), np.full(len(seen), noise)


def _filled(clip_norms: Floats, first: float) -> Floats:
    """What is not known is as it was before."""
    known = ~np.isnan(clip_norms)
    places = np.maximum.accumulate(np.where(known, np.arange(len(known)), -1))
    return np.where(places < 0, first, clip_norms[places])


def attack(target: Target, count: int | None, steps: int, seed: int, home: Path) -> Attacked:
    """Runs as many of the study's steps, at most, on the site's patients and canaries."""
    numbers = sum(_sizes(WatchedLearner(target.study)))
    rng = np.random.default_rng([seed, _CANARY_SEED])
    canaries = hatch(
        most_canaries(numbers) if count is None else count, numbers, target.terms.clip_norm, rng
    )
    people = (*target.people, *canaries.people)
    study, rounds = short_study(target, len(people), steps, seed)
    terms = terms_for(study, bucketed(len(people)))
    learner = WatchedLearner(study)
    divisor = divisor_for(study, terms, bucketed(len(people)))
    watch = Watch(divisor, canaries.coordinates, _places(learner))
    learner.watch = watch
    learner.clipping = CanaryEngine(learner.clipping, learner.model, canaries, watch)
    store = ListeningStore(target.store, target.store.get(target.people[0][0]), watch)
    replies = run_rounds(study, target.site, people, store, learner, rounds, home)
    return Attacked(
        terms,
        rounds,
        people,
        canaries,
        watch.steps,
        _sizes(learner),
        replies,
        gradient_noise(study, terms, len(people)),
        study.privacy.adaptive_clip,
    )


def short_study(target: Target, patients: int, steps: int, seed: int) -> tuple[Study, int]:
    """The study over fewer steps, with the noise and the sampling rate of the whole; its rounds.

    Aggregation is left out: a single site is attacked, whose work is the same for every strategy.
    """
    study, terms = target.study, target.terms
    local_steps = min(study.training.local_steps, steps)
    rounds = min(study.training.rounds, max(1, steps // local_steps))
    drawn = max(1, round(terms.sample_rate * bucketed(patients)))
    settings = [
        f"study.seed={seed}",
        "strategy.name=fedavg",
        f"training.local_steps={local_steps}",
        f"training.rounds={rounds}",
        f"privacy.noise_multiplier={terms.noise_multiplier!r}",
        f"privacy.delta={terms.delta!r}",
        f"privacy.patients_per_step={drawn}",
        "simulation.epsilon_cap=0.0",
    ]
    return parse_study(dump_study(study), "audit", settings), rounds


def run_rounds(
    study: Study,
    name: str,
    people: tuple[tuple[str, ...], ...],
    store: Store,
    learner: WatchedLearner,
    rounds: int,
    home: Path,
) -> tuple[Reply, ...]:
    """The site's answers, up to the first that is held back."""
    roster = Roster({"train": people})
    guard = simulated_guard(home, name, roster, study)
    state = SiteState(home / "state", study_hash(study))
    site = Site(name, roster, store, state, contract_hash(study), guard)
    weights = initial_weights(study)
    replies: list[Reply] = []
    for number in range(1, rounds + 1):
        asked = Request(
            "train", dump_study(study), number, sha256_of(weights), arrays={"weights": weights}
        )
        reply = site.answer(asked, learner)
        replies.append(reply)
        if reply.refusal is Refusal.UNSAFE:
            break
        if reply.refusal is not None:
            raise FedvoxError(
                f"the audit could not be run: in round {number} {name} said that "
                f"{reply.refusal.sentence}; the log in the run's folder says why"
            )
        weights = add(weights, reply.arrays["update"])
    return tuple(replies)


def gradient_noise(study: Study, terms: Terms, patients: int) -> float:
    """Noise multiplier of what the site itself adds to the gradients."""
    if not study.privacy.adaptive_clip:
        return terms.placed.added
    expected = terms.sample_rate * bucketed(patients)
    return split_of_step(terms.placed.added, expected).gradient


def _sizes(learner: WatchedLearner) -> tuple[int, ...]:
    return tuple(weight.numel() for weight in trainable(learner.model).values())


def _places(learner: WatchedLearner) -> npt.NDArray[np.int64]:
    numbers = sum(_sizes(learner))
    rng = np.random.default_rng([learner.study.study.seed, _PLACES_SEED])
    return np.sort(rng.choice(numbers, min(_SAMPLED_PLACES, numbers), replace=False))
