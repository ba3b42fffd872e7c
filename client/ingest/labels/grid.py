"""Voxel grids: whether two are the same, and bringing labels from one to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fedvox.client.ingest.scan import Affine

_SAME_VOXEL = 0.05
"""Corners nearer than this part of a voxel are the same corner: headers round."""
_MOST_AT_ONCE = 1 << 22
_MOST_SAMPLED = 1 << 18
_HALF = 0.5
_ROUNDING = 1e-6
"""Voxels; a centre on the border between two belongs to the lower on every machine."""

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a volume lie."""

    shape: tuple[int, int, int]
    affine: Affine
    """4 x 4, voxel index to millimetres in RAS+."""

    @property
    def corners(self) -> npt.NDArray[np.float64]:
        """The eight outermost voxel centres, as columns of homogeneous indices."""
        ends = [(0.0, float(length - 1)) for length in self.shape]
        points = np.stack(np.meshgrid(*ends, indexing="ij")).reshape(3, -1)
        return np.vstack([points, np.ones((1, 8))])


def to_voxels(grid: Grid, affine: Affine) -> Affine:
    """The affine from the indices of another volume to those of this grid."""
    return np.asarray(np.linalg.inv(grid.affine) @ affine)


def is_same(one: Grid, other: Grid) -> bool:
    """Whether two grids have their voxels in the same places, in the same order."""
    if one.shape != other.shape:
        return False
    moved = to_voxels(one, other.affine) @ other.corners
    return bool(np.abs(moved - one.corners).max() <= _SAME_VOXEL)


def covers(grid: Grid, points_mm: npt.NDArray[np.float64]) -> float:
    """The part of these points [n, 3] (RAS+) that lies within the grid's voxels."""
    if not len(points_mm):
        return 0.0
    inverse = np.linalg.inv(grid.affine)
    at = points_mm @ inverse[:3, :3].T + inverse[:3, 3]
    within = (at >= -_HALF - _SAME_VOXEL) & (at <= np.array(grid.shape) - _HALF + _SAME_VOXEL)
    return float(within.all(axis=1).mean())


def foreground_mm(values: Values, grid: Grid) -> npt.NDArray[np.float64]:
    """Centres [n, 3] of the labelled voxels; of very many, evenly chosen ones."""
    flat = np.flatnonzero(values)
    chosen = flat[:: max(1, len(flat) // _MOST_SAMPLED)]
    at = np.stack(np.unravel_index(chosen, values.shape), axis=1)
    return np.asarray(at @ grid.affine[:3, :3].T + grid.affine[:3, 3])


def overlap(one: Grid, other: Grid) -> bool:
    """Whether the boxes of two grids have anything in common, by the first grid's axes."""
    moved = (to_voxels(one, other.affine) @ other.corners)[:3]
    low, high = moved.min(axis=1), moved.max(axis=1)
    return bool(((high >= -_HALF) & (low <= np.array(one.shape) - _HALF)).all())


def resample_nearest(values: Values, source: Grid, target: Grid) -> Values:
    """The value of the nearest source voxel at each target voxel, 0 where there is none."""
    if is_same(source, target):
        return values
    back = to_voxels(source, target.affine)
    if _is_straight(back, target):
        return _by_axes(values, back, target)
    out = np.zeros(target.shape, dtype=values.dtype)
    depth = max(1, _MOST_AT_ONCE // max(target.shape[0] * target.shape[1], 1))
    for start in range(0, target.shape[2], depth):
        stop = min(start + depth, target.shape[2])
        _fill(out[:, :, start:stop], values, back, start)
    return out


def _is_straight(back: Affine, target: Grid) -> bool:
    """Whether each axis of the one grid is an axis of the other, the same one."""
    skewed = back[:3, :3] - np.diag(np.diag(back[:3, :3]))
    return bool((np.abs(skewed) @ np.array(target.shape)).max() <= _ROUNDING)


def _by_axes(values: Values, back: Affine, target: Grid) -> Values:
    inside, nearest = [], []
    for axis, length in enumerate(values.shape):
        at = back[axis, axis] * np.arange(target.shape[axis]) + back[axis, 3]
        near = np.ceil(at - _HALF - _ROUNDING).astype(np.int64)
        nearest.append(near.clip(0, length - 1))
        inside.append((near >= 0) & (near < length))
    out = values[np.ix_(*nearest)]
    for axis, within in enumerate(inside):
        out[(slice(None),) * axis + (~within,)] = 0
    return out


def _fill(out: Values, values: Values, back: Affine, start: int) -> None:
    """One slab of the target, which begins at slice `start`."""
    x, y, z = (np.arange(length, dtype=np.float64) for length in out.shape)
    z = z + start
    inside = np.ones(out.shape, dtype=bool)
    flat = np.zeros(out.shape, dtype=np.int64)
    for axis, length in enumerate(values.shape):
        row = back[axis]
        at = (row[0] * x)[:, None, None] + (row[1] * y)[:, None] + (row[2] * z + row[3])
        nearest = np.ceil(at - _HALF - _ROUNDING).astype(np.int64)
        inside &= (nearest >= 0) & (nearest < length)
        flat = flat * length + nearest
    out[inside] = values[np.unravel_index(flat[inside], values.shape)]
