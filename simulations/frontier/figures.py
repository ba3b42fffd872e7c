"""What the runs of a frontier came to, and what that says of each epsilon."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from fedvox.common.study import Study, study_hash
from fedvox.common.tasks.task import task_for
from fedvox.server.report.parse import count, figures, mapping, number
from fedvox.server.summary import versions
from fedvox.simulations.frontier.points import Grid, Point

WHY = (
    "the noise of a simulation follows from its seed, so none of these models protects anybody; "
    "and to choose an epsilon by its result on the same patients spends privacy of its own"
)


@dataclass(frozen=True)
class Outcome:
    """What one run came to."""

    point: Point
    status: str
    """done, interrupted, failed; missing: not begun."""
    headline: str = ""
    value: float = math.nan
    """Its headline metric, on the test patients of all sites together."""
    spent: float = math.nan
    """The largest epsilon that any site's patients have spent."""
    delta: float = math.nan
    noise: tuple[float, ...] = ()
    """Noise multiplier of each site."""
    refusals: int = 0
    """Rounds in which a site sent nothing, over all sites."""
    wall_s: float = math.nan

    @property
    def known(self) -> bool:
        """Whether it has a result."""
        return self.status == "done" and math.isfinite(self.value)


@dataclass(frozen=True)
class Level:
    """What the seeds of one epsilon came to."""

    epsilon: float
    outcomes: tuple[Outcome, ...]
    ratio: float
    """Mean over the mean without privacy, of the seeds that have both; NaN without any."""

    @property
    def known(self) -> tuple[Outcome, ...]:
        """Runs with a result."""
        return tuple(outcome for outcome in self.outcomes if outcome.known)

    @property
    def values(self) -> tuple[float, ...]:
        """The metric of each seed that has a result."""
        return tuple(outcome.value for outcome in self.known)

    @property
    def mean(self) -> float:
        """Mean over seeds; NaN without a result."""
        return fmean(self.values) if self.values else math.nan


@dataclass(frozen=True)
class Frontier:
    """A frontier as far as it was trained."""

    study: Study
    status: str
    """running, done, interrupted; failed: a run has no result."""
    grid: Grid
    outcomes: tuple[Outcome, ...]

    @property
    def headline(self) -> str:
        """The metric it is about."""
        return task_for(self.study).headline

    @property
    def levels(self) -> tuple[Level, ...]:
        """By epsilon, ascending; without privacy comes last."""
        return tuple(self._level(epsilon) for epsilon in self.grid.epsilons)

    @property
    def without(self) -> Level | None:
        """The runs without privacy."""
        return next((level for level in self.levels if math.isinf(level.epsilon)), None)

    def _level(self, epsilon: float) -> Level:
        own = self._at(epsilon)
        return Level(epsilon, own, ratio_of(own, self._at(math.inf)))

    def _at(self, epsilon: float) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.point.epsilon == epsilon)


def ratio_of(private: Sequence[Outcome], without: Sequence[Outcome]) -> float:
    """Mean of the private runs over that of the others, of the seeds that both have."""
    one = {outcome.point.seed: outcome.value for outcome in private if outcome.known}
    other = {outcome.point.seed: outcome.value for outcome in without if outcome.known}
    seeds = sorted(one.keys() & other.keys())
    below = sum(other[seed] for seed in seeds)
    return sum(one[seed] for seed in seeds) / below if below > 0 else math.nan


def outcome_of(folder: Path, point: Point) -> Outcome:
    """What the run of a point came to, from its summary."""
    try:
        summary = json.loads((folder / point.folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Outcome(point, "missing")
    headline = str(summary.get("headline") or "")
    found = figures(summary.get("union"))
    sites = [mapping(site) for site in summary.get("sites") or ()]
    privacy = mapping(summary.get("privacy"))
    return Outcome(
        point,
        str(summary.get("status") or "missing"),
        headline,
        found.get(headline, math.nan),
        number(privacy.get("epsilon")),
        number(privacy.get("delta")),
        tuple(number(site["noise_multiplier"]) for site in sites if "noise_multiplier" in site),
        sum(count(site.get("rounds_refused")) for site in sites),
        number(summary.get("wall_s")),
    )


def as_plain(frontier: Frontier) -> dict[str, Any]:
    """The frontier for scripts; `float` reads every epsilon, "inf" among them."""
    return {
        "study": frontier.study.study.name,
        "study_sha256": study_hash(frontier.study),
        "status": frontier.status,
        "task": frontier.study.task.kind,
        "headline": frontier.headline,
        "unit": "patient",
        "guarantee": False,
        "why": WHY,
        "epsilons": [_plain_epsilon(epsilon) for epsilon in frontier.grid.epsilons],
        "seeds": list(frontier.grid.seeds),
        "points": [_plain_level(level) for level in frontier.levels],
        "runs": [_plain_outcome(outcome) for outcome in frontier.outcomes],
        "versions": versions(),
    }


def _plain_epsilon(epsilon: float) -> float | str:
    return epsilon if math.isfinite(epsilon) else "inf"


def _plain_level(level: Level) -> dict[str, Any]:
    return {
        "epsilon": _plain_epsilon(level.epsilon),
        "mean": level.mean,
        "low": min(level.values, default=math.nan),
        "high": max(level.values, default=math.nan),
        "ratio": level.ratio,
        "seeds": len(level.known),
        "spent": max((o.spent for o in level.known), default=math.nan),
        "delta": max((o.delta for o in level.known), default=math.nan),
    }


def _plain_outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "epsilon": _plain_epsilon(outcome.point.epsilon),
        "seed": outcome.point.seed,
        "folder": outcome.point.folder,
        "status": outcome.status,
        "value": outcome.value,
        "spent": outcome.spent,
        "delta": outcome.delta,
        "noise_multipliers": list(outcome.noise),
        "refusals": outcome.refusals,
        "wall_s": outcome.wall_s,
    }
