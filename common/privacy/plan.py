"""What a study will spend at its sites, worked out before anything is spent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fedvox.common.privacy.account import epsilon
from fedvox.common.privacy.bucket import bucketed
from fedvox.common.privacy.terms import Terms, noise_needed, terms_for
from fedvox.common.study import Study

TARGETS = (1.0, 2.0, 4.0, 8.0)
_CURVE_POINTS = 24


@dataclass(frozen=True)
class SitePlan:
    """What the study will spend at a site with so many training patients."""

    patients: int
    terms: Terms
    epsilon_after: dict[int, float]
    """Round -> epsilon spent by then."""
    noise_for: dict[float, float]
    """Epsilon over the whole study -> the noise multiplier that it needs."""

    @property
    def steps(self) -> int:
        """Steps of the whole study."""
        return self.terms.rounds * self.terms.steps_per_round


def plan_site(study: Study, patients: int, curve: bool = False) -> SitePlan:
    """The plan of a site; with `curve`, epsilon after many rounds instead of four.

    As the site will reckon itself: by its patients rounded down, which is all that leaves it.
    """
    terms = terms_for(study, bucketed(patients))
    rounds = curve_rounds(terms.rounds) if curve else quarter_rounds(terms.rounds)
    delta, rate = terms.delta, terms.sample_rate
    return SitePlan(
        patients,
        terms,
        {number: epsilon([terms.charge_of(number)], delta) for number in rounds},
        {goal: noise_needed(study, goal, delta, rate) for goal in TARGETS},
    )


def quarter_rounds(rounds: int) -> tuple[int, ...]:
    """The rounds after which a quarter, a half, three quarters and all of the study are done."""
    return tuple(sorted({math.ceil(rounds * part / 4) for part in (1, 2, 3, 4)}))


def curve_rounds(rounds: int) -> tuple[int, ...]:
    """Rounds for a curve, closer at the start, where it is steep; the quarters among them."""
    points = range(_CURVE_POINTS + 1)
    steep = {max(1, round(rounds * (n / _CURVE_POINTS) ** 1.5)) for n in points}
    return tuple(sorted(steep | set(quarter_rounds(rounds))))


def training_patients(study: Study) -> int:
    """Training patients of an average site of the simulation."""
    data = study.data
    return max(1, round(study.simulation.patients * (1 - data.test - data.validation)))


def as_plain(study: Study, sites: list[SitePlan]) -> dict[str, Any]:
    """The plan for scripts."""
    return {
        "study": study.study.name,
        "mode": study.privacy.mode,
        "placement": study.privacy.placement,
        "unit": "patient",
        "rounds": study.training.rounds,
        "steps_per_round": study.training.local_steps,
        "sites": [_site_as_plain(site) for site in sites],
        "epsilon": max(max(site.epsilon_after.values()) for site in sites),
    }


def _site_as_plain(site: SitePlan) -> dict[str, Any]:
    terms = site.terms
    return {
        "patients": site.patients,
        "sample_rate": terms.sample_rate,
        "delta": terms.delta,
        "noise_multiplier": terms.noise_multiplier,
        "noise_multiplier_added": terms.placed.added,
        "honest_sites": terms.honest_sites,
        "clip_norm": terms.clip_norm,
        "steps": site.steps,
        "epsilon": max(site.epsilon_after.values()),
        "epsilon_after_round": site.epsilon_after,
        "noise_for_epsilon": {f"{goal:g}": noise for goal, noise in site.noise_for.items()},
    }
