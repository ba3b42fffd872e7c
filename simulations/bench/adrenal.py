"""Classification of real volumes by the defaults of the product, against the majority class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fedvox.simulations.bench.measure import Say
from fedvox.simulations.bench.outcome import Headline, Outcome, Row
from fedvox.simulations.bench.runs import data_at, simulated

_HALF_SIZE = ("data.spacing=[2, 2, 2]", "data.size=[32, 32, 32]")
"""64 voxels resampled to 32 along each axis: an eighth of the work."""
_MAJORITY = 0.5
"""Balanced accuracy of whoever always says the same."""
_CLEARLY = 1.2


def bench(folder: Path, say: Say) -> Outcome:
    """One run over four sites."""
    data = data_at("medmnist", "adrenalmnist3d_64.npz")
    words = ["--data", str(data), "--sites", "4"]
    words += [word for setting in _HALF_SIZE for word in ("--set", setting)]
    return outcome_of(simulated(words, folder / "runs" / "adrenal", say))


def outcome_of(summary: dict[str, Any]) -> Outcome:
    """The table of a run's summary."""
    union = summary["union"]
    names = ("balanced_accuracy", "auroc", "accuracy", "sensitivity", "specificity")
    majority = {"balanced_accuracy": _MAJORITY, "auroc": _MAJORITY}
    rows: list[Row] = [
        (
            name.replace("_", " "),
            f"{union[name]:.3f}",
            f"{majority[name]:.3f}" if name in majority else "",
        )
        for name in names
        if name in union
    ]
    return Outcome(
        "adrenal",
        ("all test patients", "federated", "majority class"),
        rows,
        (
            Headline("minutes", summary["wall_s"] / 60, "<=", 5.0),
            Headline(
                "balanced accuracy over majority class",
                union["balanced_accuracy"] / _MAJORITY,
                ">=",
                _CLEARLY,
            ),
        ),
        {"union": union, "seconds": summary["wall_s"], "parameters": summary["parameters"]},
    )
