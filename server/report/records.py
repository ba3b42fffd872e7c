"""What is known of a run, as frozen records; whatever a run did not get to is empty or None."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from fedvox.common.study import Study

Figures = Mapping[str, float]
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Site:
    """What one site held and how the federated model did there."""

    name: str
    patients: Mapping[str, int]
    """By split: train, validation, test."""
    strata: Mapping[str, int] = field(default_factory=dict)
    metrics: Figures = field(default_factory=dict)
    rounds_refused: int = 0
    spent: Figures = field(default_factory=dict)
    """Of its patients' privacy: epsilon, delta, noise_multiplier, sample_rate, steps, clip_norm."""

    @property
    def total(self) -> int:
        """Patients in all splits."""
        return sum(self.patients.values())


@dataclass(frozen=True)
class Evaluation:
    """Metrics of one round's model: of all sites together, and of each."""

    split: str
    union: Figures
    sites: Mapping[str, Figures]


@dataclass(frozen=True)
class Round:
    """One closed round."""

    number: int
    seconds: float
    asked: tuple[str, ...]
    answered: tuple[str, ...]
    refused: Mapping[str, str]
    late: tuple[str, ...]
    bytes_up: int
    bytes_down: int
    loss: float
    sites: Mapping[str, Figures]
    evaluation: Evaluation | None


@dataclass(frozen=True)
class Baseline:
    """A model trained without federation: the pooled one, or one site alone."""

    name: str
    metrics: Figures
    """On the union of all test sets."""
    own: Figures
    """On the test set of the site that trained it; empty for the pooled model."""
    sites: Mapping[str, Figures]
    """On the test set of each site."""
    steps: int
    samples: int


@dataclass(frozen=True)
class Aside:
    """A case that was not used, and why."""

    case: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Tally:
    """Counts behind a classifier's metrics."""

    confusion: tuple[tuple[int, ...], ...] = ()
    """Row: true class; column: predicted class."""
    roc: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    """By class: (false positive rate, true positive rate)."""


@dataclass(frozen=True)
class Sample:
    """One slice to look at; a classifier has no masks."""

    name: str
    image: npt.NDArray[Any]
    truth: npt.NDArray[Any] | None = None
    """Class indices."""
    prediction: npt.NDArray[Any] | None = None


@dataclass(frozen=True)
class Run:
    """A run folder, read."""

    folder: Path
    study: Study
    study_text: str
    summary: Mapping[str, Any]
    """As written; the fields below are what the report is made from."""
    status: str
    classes: tuple[str, ...]
    headline: str
    metrics: Figures
    union: Figures
    sites: tuple[Site, ...]
    rounds: tuple[Round, ...]
    pooled: Baseline | None
    alone: tuple[Baseline, ...]
    tally: Tally
    samples: tuple[Sample, ...]
    aside: Mapping[str, int]
    aside_cases: tuple[Aside, ...]
    missing: tuple[str, ...]
    """Sentences saying what the run does not have."""

    @property
    def name(self) -> str:
        """Name of the run's folder; a consortium's study is known by its own."""
        return self.study.study.name if self.is_consortium else self.folder.resolve().name

    @property
    def is_consortium(self) -> bool:
        """Whether real sites took part, each with what lies there and nowhere else."""
        return self.text("engine") == "consortium"

    @property
    def score(self) -> float:
        """The federated model's headline metric on all test patients together; NaN if unknown."""
        return self.union.get(self.headline, self.metrics.get(self.headline, float("nan")))

    def number(self, key: str) -> float:
        """A number of the summary; NaN if it is not there."""
        value = self.summary.get(key)
        known = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if known else float("nan")  # type: ignore[arg-type]

    def text(self, key: str) -> str:
        """A text of the summary; empty if it is not there."""
        value = self.summary.get(key)
        return value if isinstance(value, str) else ""
