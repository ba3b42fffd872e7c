"""What is measured of a case: geometry, intensities, labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fedvox.client.dataset.case import Case
from fedvox.client.dataset.dataset import Dataset
from fedvox.common.volume import CaseError

PERCENTILES = (0.5, 50.0, 99.5)
_ENOUGH_VOXELS = 100_000
_LEAST_INSIDE = 100
"""Voxels within labels, from which on the intensities within them count alone."""
_ANATOMY = {"L": 0, "R": 0, "A": 1, "P": 1, "S": 2, "I": 2}

Label = tuple[int | None, str]
"""Value and name; a class of a whole image has no value."""


@dataclass(frozen=True)
class Measures:
    """One case in numbers."""

    spacing_mm: tuple[float, ...]
    """Right to left, back to front, foot to head; of a projection as it lies."""
    size: tuple[int, ...]
    channels: int
    modality: str
    intensity: tuple[float, ...]
    """At the percentiles, of the first channel, within labels where there are some."""
    labels: frozenset[Label]


def measure_case(dataset: Dataset, case: Case) -> Measures | None:
    """A case of a dataset; None where its file is gone."""
    facts = case.facts
    try:
        content = dataset.content(case)
    except CaseError:
        return None
    dims = 2 if facts.planar else 3
    order = anatomical(facts.axes, dims)
    labels: frozenset[Label] = frozenset((v, facts.names.get(v, "")) for v in facts.values if v)
    if facts.label == "class":
        labels = frozenset({(None, facts.class_name)})
    return Measures(
        tuple(facts.spacing_mm[axis] for axis in order),
        tuple(facts.shape[1 + axis] for axis in order),
        facts.shape[0],
        facts.modality,
        intensities(content.image[0], content.label),
        labels,
    )


def anatomical(axes: str, dims: int) -> tuple[int, ...]:
    """The stored axes in the order of anatomy; as they lie where that is not known."""
    known = [_ANATOMY.get(code, -1) for code in axes]
    if dims != 3 or sorted(known) != [0, 1, 2]:
        return tuple(range(dims))
    return tuple(known.index(axis) for axis in range(3))


def intensities(
    image: npt.NDArray[Any], label: npt.NDArray[np.integer[Any]] | None
) -> tuple[float, ...]:
    """The percentiles of a channel, of a part of its voxels evenly spread."""
    step = max(1, round((image.size / _ENOUGH_VOXELS) ** (1 / image.ndim)))
    thin = (slice(None, None, step),) * image.ndim
    found = np.asarray(image[thin], dtype=np.float64)
    if label is not None:
        inside = found[np.asarray(label[thin]) > 0]
        found = inside if inside.size >= _LEAST_INSIDE else found
    values: Sequence[float] = np.percentile(found, PERCENTILES).tolist()
    return tuple(values)
