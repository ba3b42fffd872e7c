"""A dataset in numbers, for people at the site. They are exact, and not for the outside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fedvox.client.dataset.case import Case
from fedvox.client.dataset.dataset import Dataset


def stats(dataset: Dataset) -> dict[str, Any]:
    """Counts of cases by what is known of them, and how spacings and sizes spread."""
    cases = dataset.cases()
    facts = [case.facts for case in cases]
    return {
        "dataset": dataset.name,
        "version": dataset.version.name,
        "fingerprint": dataset.version.fingerprint,
        "cases": len(cases),
        "patients": len(dataset.patients()),
        "studies": len({case.study for case in cases}),
        "bytes": sum(case.bytes for case in cases),
        "modality": _counts(one.modality for one in facts),
        "manufacturer": _counts(str(one.attributes.get("manufacturer", "-")) for one in facts),
        "label": _counts(one.label or "none" for one in facts),
        "class": _counts(one.class_name for one in facts if one.label == "class"),
        "label_value": _counts(str(value) for one in facts for value in one.values),
        "flags": _counts(flag for one in facts for flag in one.flags),
        "spacing_mm": _spread([one.spacing_mm for one in facts]),
        "voxels": _spread([one.shape[1:] for one in facts]),
    }


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _spread(rows: Sequence[Sequence[float]]) -> dict[str, list[float]]:
    """Smallest, middle and largest along each axis."""
    if not rows:
        return {}
    found = np.array(rows, dtype=np.float64)
    return {
        name: [round(float(value), 4) for value in np.percentile(found, at, axis=0)]
        for name, at in (("min", 0), ("median", 50), ("max", 100))
    }


def line_of(case: Case) -> str:
    """A case in one line."""
    facts = case.facts
    size = "x".join(map(str, facts.shape[1:]))
    spacing = "x".join(f"{mm:.3g}" for mm in facts.spacing_mm)
    label = facts.class_name or facts.label or "-"
    return (
        f"{case.key[:12]}  {case.patient}  {facts.modality:3}  {size:>13}  {spacing:>16} mm  "
        f"{label}  {' '.join(facts.flags)}".rstrip()
    )
