"""Voxels and geometry as a file holds them, before they are anyone's scan or mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.scan import Affine

Array = npt.NDArray[Any]

ASSUMED_GEOMETRY = "assumed-geometry"
"""Flag: the file says how large its voxels are, not how they lie in the patient."""
FILLED = "filled"
"""Flag: voxels that were NaN or infinite hold the lowest value of the image."""

_MOST_BYTES = 4 << 30
_SMALLEST_MM, _LARGEST_MM = 1e-4, 1e4
_FARTHEST_MM = 1e6
_FLATTEST = 1e-3
"""Axes that span less of a unit cube than this lie in one plane."""


@dataclass(frozen=True)
class Segment:
    """What a file's own header says of one value: Slicer's segmentations name theirs."""

    name: str
    value: int
    layer: int = 0


@dataclass(frozen=True)
class Header:
    """What a file declares, checked before anything of its size is allocated."""

    path: Path
    """Where the voxels are: the file itself, or one beside it."""
    offset: int
    """Bytes before the voxels; -1: they are the last bytes."""
    shape: tuple[int, ...]
    """As the voxels are stored, the fastest axis first."""
    axes: str
    """What each axis of `shape` is: letters of x, y, z and c (channels)."""
    dtype: np.dtype[Any]
    affine: Affine
    packed: bool = False
    """Compressed by deflate, as zlib or gzip write it."""
    skip: int = 0
    """Bytes before the voxels in what the packed part inflates to."""
    text: bool = False
    """Numbers in words."""
    slope: float = 1.0
    intercept: float = 0.0
    segments: tuple[Segment, ...] = ()
    flags: frozenset[str] = frozenset()

    @property
    def count(self) -> int:
        """How many numbers are declared."""
        count = 1
        for length in self.shape:
            count *= length
        return count

    @property
    def grid(self) -> tuple[int, int, int]:
        """How many voxels along x, y and z."""
        x, y, z = (self.shape[self.axes.index(axis)] if axis in self.axes else 1 for axis in "xyz")
        return x, y, z

    @property
    def channels(self) -> int:
        """How many numbers a voxel has."""
        return self.shape[self.axes.index("c")] if "c" in self.axes else 1


@dataclass(frozen=True)
class Raster:
    """Voxels with their geometry."""

    voxels: Array
    """[channels, x, y, z] in the type that the file has; not necessarily contiguous."""
    affine: Affine
    """4 x 4, voxel index to millimetres in RAS+."""
    segments: tuple[Segment, ...] = ()
    flags: frozenset[str] = frozenset()
    facts: Mapping[str, str] = field(default_factory=dict)


def check_header(header: Header) -> Header:
    """The header itself, or Quarantined where it cannot be true or is too large."""
    if len(header.shape) != len(header.axes) or len(set(header.axes)) != len(header.axes):
        raise Quarantined(Reason.UNREADABLE, "the header's axes make no sense")
    if any(length < 0 for length in header.shape):
        raise Quarantined(Reason.UNREADABLE, "the header declares an axis of negative length")
    if not header.count:
        raise Quarantined(Reason.EMPTY, "the header declares no voxel")
    if header.count * max(header.dtype.itemsize, 1) > _MOST_BYTES:
        raise Quarantined(
            Reason.TOO_LARGE,
            f"declares {header.count:,} numbers; more than {_MOST_BYTES >> 30} GiB is not read",
        )
    check_affine(header.affine)
    return header


def check_affine(affine: Affine) -> None:
    """Quarantined where voxels would have no place, or no size that a person could have."""
    if not np.isfinite(affine).all():
        raise Quarantined(Reason.NO_GEOMETRY, "the geometry holds NaN or infinity")
    if np.abs(affine[:3, 3]).max() > _FARTHEST_MM:
        raise Quarantined(
            Reason.NO_GEOMETRY, "the image lies further away than any scanner reaches"
        )
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not ((lengths > _SMALLEST_MM) & (lengths < _LARGEST_MM)).all():
        raise Quarantined(Reason.NO_GEOMETRY, "voxels have no size, or one that no image has")
    if abs(np.linalg.det(affine[:3, :3] / lengths)) < _FLATTEST:
        raise Quarantined(Reason.NO_GEOMETRY, "the axes lie in one plane")


def lps_affine(columns: npt.ArrayLike, origin: npt.ArrayLike) -> Affine:
    """RAS+ affine of axis vectors (one a voxel axis, in mm) and an origin given towards left and
    back; axes and coordinates that are missing in a flat image are filled in."""
    given, start = np.asarray(columns, dtype=np.float64), np.asarray(origin, dtype=np.float64)
    axes, length = given.shape
    affine, vectors = np.eye(4), np.zeros((3, axes))
    vectors[:length] = given.T
    affine[:3, :axes] = vectors
    if axes == 2:
        normal = np.cross(vectors[:, 0], vectors[:, 1])
        affine[:3, 2] = normal / (np.linalg.norm(normal) or 1.0)
    affine[: len(start), 3] = start
    affine[:2] *= -1
    return affine


def arrange(numbers: Array, header: Header) -> Array:
    """What was stored as [channels, x, y, z], without copying it."""
    stored = numbers.reshape(header.shape, order="F")
    missing = [axis for axis in "cxyz" if axis not in header.axes]
    stored = stored.reshape(stored.shape + (1,) * len(missing))
    axes = header.axes + "".join(missing)
    return stored.transpose([axes.index(axis) for axis in "cxyz"])
