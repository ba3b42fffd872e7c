"""The points of a frontier: which epsilon, which seed, and the study that is trained there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from fedvox.common.study import Study, dump_study, parse_study


@dataclass(frozen=True)
class Point:
    """One run of a frontier."""

    epsilon: float
    """What it may spend of every patient's privacy; infinity: privacy.mode = none."""
    seed: int

    @property
    def private(self) -> bool:
        """Whether patients are protected there."""
        return math.isfinite(self.epsilon)

    @property
    def folder(self) -> str:
        """Its run directory within the frontier's."""
        return f"eps-{epsilon_name(self.epsilon)}-seed-{self.seed}"


@dataclass(frozen=True)
class Grid:
    """Every epsilon with every seed."""

    epsilons: tuple[float, ...]
    """Ascending."""
    seeds: tuple[int, ...]

    def __iter__(self) -> Iterator[Point]:
        """One seed after the other, without privacy first: what there is can be compared early."""
        for seed in self.seeds:
            for epsilon in reversed(self.epsilons):
                yield Point(epsilon, seed)


def epsilon_name(epsilon: float) -> str:
    """An epsilon as the command line takes it."""
    return f"{epsilon:.12g}"


def study_at(study: Study, point: Point) -> Study:
    """The study of one point: only the seed and what is promised differ."""
    promised = ["privacy.mode=none"]
    if point.private:
        promised = [
            "privacy.mode=patient",
            f"privacy.epsilon={point.epsilon!r}",
            "privacy.noise_multiplier=0.0",  # else it would count, and epsilon would not
        ]
    seed = f"study.seed={point.seed}"
    where = f"study at {point.folder}"
    return parse_study(dump_study(study), where, [seed, "simulation.baselines=false", *promised])
