"""The map that labels are painted on, voxel by voxel of the scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fedvox.client.ingest.labels.label import OVERLAPS, PARTLY_OUTSIDE, Label, LabelMap
from fedvox.client.ingest.reasons import Quarantined, Reason

LARGEST_VALUE = int(np.iinfo(np.int16).max)
_LEAST_INSIDE = 0.5
"""A label of which less than this part lies on the scan belongs to another one."""

Region = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Structure:
    """One structure of a label, before it is painted."""

    number: int
    name: str


class Canvas:
    """Collects what is painted; where structures overlap, the highest value stays.

    So a tumour that lies in an organ is seen if the label map counts it after the organ.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        # Planes across z are painted most: they lie together in memory.
        self._map: LabelMap = np.zeros(shape, dtype=np.int16, order="F")
        self._overlaps = False
        self._inside = 0.0
        self._outside = 0.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """How many voxels the scan has."""
        x, y, z = self._map.shape
        return x, y, z

    def paint(self, region: Region, values: npt.NDArray[Any]) -> None:
        """Values for a part of the scan; 0 leaves what is there."""
        there = self._map[region]
        drawn = values.astype(np.int16, copy=False)
        if not self._overlaps and there.any():
            self._overlaps = bool(((there != 0) & (drawn != 0) & (there != drawn)).any())
        np.maximum(there, drawn, out=there)

    def count(self, inside: float, outside: float) -> None:
        """How much of the label, as it was drawn, lies on the scan and how much does not."""
        self._inside += inside
        self._outside += outside

    def finish(self, names: Mapping[int, str]) -> Label:
        """The label; Quarantined where too little of it lies on the scan."""
        labelled = self._inside + self._outside
        flags = require_inside(self._inside / labelled if labelled else 1.0)
        flags |= frozenset({OVERLAPS}) if self._overlaps else frozenset()
        return Label(self._map, names, flags)


def require_inside(part: float) -> frozenset[str]:
    """Flags for a label of which this part lies on the scan; Quarantined for too little."""
    if part < _LEAST_INSIDE:
        raise Quarantined(Reason.LABEL_MISMATCH, "the label lies outside the scan")
    return frozenset({PARTLY_OUTSIDE}) if part < 1 else frozenset()


def values_of(structures: Sequence[Structure], wanted: Mapping[str, int]) -> dict[int, int]:
    """Structure number -> value, by name or number as `wanted` says; without it, the number.

    Names are compared without regard to case. Structures that `wanted` does not name are left out;
    Quarantined where that leaves none.
    """
    if wanted:
        by_key = {key.strip().casefold(): value for key, value in wanted.items()}
        found = {s.number: v for s in structures if (v := _wanted(s, by_key)) is not None}
    else:
        found = {structure.number: structure.number for structure in structures}
    if structures and not any(found.values()):
        raise Quarantined(
            Reason.LABEL_VALUE,
            f"none of its structures is wanted: {', '.join(repr(s.name) for s in structures)}",
        )
    strange = [value for value in found.values() if not 0 <= value <= LARGEST_VALUE]
    if strange:
        raise Quarantined(Reason.LABEL_VALUE, f"{strange[0]} is no value for a label")
    return found


def names_of(structures: Sequence[Structure], values: Mapping[int, int]) -> dict[int, str]:
    """Value -> name; of several structures with one value, all their names."""
    names: dict[int, dict[str, None]] = {}
    for structure in structures:
        value = values.get(structure.number, 0)
        if value and structure.name:
            names.setdefault(value, {})[structure.name] = None
    return {value: " + ".join(names[value]) for value in sorted(names)}


def _wanted(structure: Structure, by_key: Mapping[str, int]) -> int | None:
    name = structure.name.strip().casefold()
    return by_key[name] if name in by_key else by_key.get(str(structure.number))
