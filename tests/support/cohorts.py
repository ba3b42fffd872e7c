"""Summaries as sites would write them, made by hand."""

from collections.abc import Mapping
from typing import Any

from fedvox.common.cohort.axes import NUMBERS, WORDS, cell_of
from fedvox.common.cohort.summary import LabelCount, Summary


def histogram(name: str, found: Mapping[float, int]) -> tuple[int, ...]:
    """Patients by value."""
    counts = [0] * len(NUMBERS[name])
    for value, count in found.items():
        counts[cell_of(name, value)] += count
    return tuple(counts)


def site(
    name: str,
    patients: int = 20,
    spacing: tuple[float, ...] = (1.0, 1.0, 1.0),
    size: tuple[int, ...] = (128, 128, 64),
    window: tuple[float, float] = (-100.0, 200.0),
    labels: Mapping[int, str] | None = None,
    modality: str = "CT",
    **changes: Any,
) -> Summary:
    """A site whose patients are all alike."""
    numbers = {f"spacing_mm_{axis}": {value: patients} for axis, value in enumerate(spacing)}
    numbers |= {f"size_{axis}": {float(value): patients} for axis, value in enumerate(size)}
    for level, value in zip(("low", "middle", "high"), (window[0], 0.0, window[1]), strict=True):
        numbers[f"intensity_{level}"] = {value: patients}
    kinds = {"modality": modality, "dims": str(len(spacing)), "channels": "1", "cases": "1"}
    fields: dict[str, Any] = {
        "site": name,
        "dataset": "0" * 24,
        "release": "histograms",
        "least_cell": 5,
        "task": "segmentation",
        "patients": patients,
        "words": {
            key: tuple(patients if word == kinds[key] else 0 for word in cells)
            for key, cells in WORDS.items()
        },
        "numbers": {key: histogram(key, found) for key, found in numbers.items()},
        "labels": tuple(
            LabelCount(value=value, name=word, patients=patients)
            for value, word in (labels if labels is not None else {1: "liver"}).items()
        ),
    }
    return Summary(**{**fields, **changes})
