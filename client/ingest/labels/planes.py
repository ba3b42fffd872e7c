"""Painting the planes of a segmentation on a scan: straight where they fit, else resampled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from fedvox.client.ingest.labels.canvas import Canvas, Region, names_of, values_of
from fedvox.client.ingest.labels.grid import (
    Grid,
    covers,
    foreground_mm,
    resample_nearest,
    to_voxels,
)
from fedvox.client.ingest.labels.label import RESAMPLED, Label
from fedvox.client.ingest.labels.segmentation import Frame, Segmentation
from fedvox.client.ingest.reasons import Quarantined, Reason

_OFF = 0.1
"""Voxels that a plane may be off the scan's and still be one of them."""
_UNEVEN = 0.1
"""Part of the distance between planes by which they may be uneven."""
_MOST_VOXELS = 1 << 30
_THICKER = 1.5
"""Planes this much further apart than the scan's slices fill more than one of them."""

Values = npt.NDArray[np.int16]


def paint_segmentation(segmentation: Segmentation, grid: Grid, wanted: Mapping[str, int]) -> Label:
    """The segmentation as a map on the scan's grid."""
    values = values_of(segmentation.structures, wanted)
    names = names_of(segmentation.structures, values)
    frames = [f for f in segmentation.frames if segmentation.is_map or values.get(f.segment)]
    canvas = Canvas(grid.shape)
    apart_mm = _apart_mm(segmentation)
    fits = {frame.index: _fit(frame, segmentation, grid, apart_mm) for frame in segmentation.frames}
    on_grid = {index: fit for index, fit in fits.items() if fit is not None}
    if len(on_grid) < len(fits):
        _resample(canvas, grid, segmentation, frames, values, apart_mm)
        label = canvas.finish(names)
        return replace(label, flags=label.flags | {RESAMPLED})
    for frame, plane in segmentation.planes(frames):
        painted = segmentation.painted(frame, plane, values)
        before, kept = (
            int(np.count_nonzero(painted)),
            _place(canvas, painted, *on_grid[frame.index]),
        )
        canvas.count(kept, before - kept)
    return canvas.finish(names)


def _apart_mm(segmentation: Segmentation) -> float:
    """The distance between planes: as declared, where all gaps are whole multiples of that."""
    first = segmentation.frames[0].affine
    declared = float(np.linalg.norm(first[:3, 2]))
    normal = first[:3, 2] / declared
    places = np.array([float(frame.affine[:3, 3] @ normal) for frame in segmentation.frames])
    gaps = np.diff(np.unique(np.round(places, 3)))
    if not len(gaps):
        return declared
    whole = np.rint(gaps / declared)
    uneven = np.abs(gaps / declared - whole).max() > _UNEVEN or not whole.all()
    return float(gaps.min()) if uneven else float(gaps.sum() / whole.sum())


def _fit(
    frame: Frame, segmentation: Segmentation, grid: Grid, apart_mm: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None:
    """Voxel of a frame's first pixel, and its steps by column and row [3, 2]; None off the grid."""
    exact = to_voxels(grid, frame.affine)
    steps, start = np.rint(exact[:3, :2]), np.rint(exact[:3, 3])
    if not (np.abs(steps).sum(axis=0) == 1).all() or (steps[:, 0] * steps[:, 1]).any():
        return None
    through = int(np.flatnonzero(steps.sum(axis=1) == 0)[0])
    if apart_mm > _THICKER * float(np.linalg.norm(grid.affine[:3, through])):
        return None
    ends = np.array(
        [[c, r] for c in (0, segmentation.columns - 1) for r in (0, segmentation.rows - 1)]
    )
    off = (exact[:3, :2] - steps) @ ends.T + (exact[:3, 3] - start)[:, None]
    if np.abs(off).max() > _OFF:
        return None
    return start.astype(np.int64), steps.astype(np.int64)


def _place(
    canvas: Canvas,
    plane: Values,
    start: npt.NDArray[np.int64],
    steps: npt.NDArray[np.int64],
) -> int:
    """Paints a plane [columns, rows] whose pixels are voxels; how many of them are on the scan."""
    across = [int(np.flatnonzero(steps[:, axis])[0]) for axis in (0, 1)]
    through = ({0, 1, 2} - set(across)).pop()
    first = start.copy()
    for axis, voxel_axis in enumerate(across):
        if steps[voxel_axis, axis] < 0:
            plane = np.flip(plane, axis)
            first[voxel_axis] -= plane.shape[axis] - 1
    block = np.expand_dims(plane if across[0] < across[1] else plane.T, through)
    low = np.maximum(first, 0)
    high = np.minimum(first + block.shape, canvas.shape)
    if (low >= high).any():
        return 0
    kept = block[_region(low - first, high - first)]
    canvas.paint(_region(low, high), kept)
    return int(np.count_nonzero(kept))


def _region(low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]) -> Region:
    x, y, z = (slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True))
    return x, y, z


def _resample(
    canvas: Canvas,
    grid: Grid,
    segmentation: Segmentation,
    frames: list[Frame],
    values: Mapping[int, int],
    apart_mm: float,
) -> None:
    """Stacks the planes as they lie and takes the nearest voxel; one structure at a time."""
    source, slots = _stack(segmentation, apart_mm)
    whole: Region = (slice(None), slice(None), slice(None))
    for segment in sorted({frame.segment for frame in frames}):
        stacked = np.zeros(source.shape, dtype=np.int16)
        chosen = [frame for frame in frames if frame.segment == segment]
        for frame, plane in segmentation.planes(chosen):
            slot = stacked[:, :, slots[frame.index]]
            np.maximum(slot, segmentation.painted(frame, plane, values), out=slot)
        drawn = resample_nearest(stacked, source, grid)
        part, count = covers(grid, foreground_mm(stacked, source)), np.count_nonzero(stacked)
        canvas.count(part * count, (1 - part) * count)
        canvas.paint(whole, drawn)


def _stack(segmentation: Segmentation, apart_mm: float) -> tuple[Grid, dict[int, int]]:
    """The grid that the planes lie on, and which of its planes each frame is."""
    first = segmentation.frames[0].affine
    normal = first[:3, 2] / np.linalg.norm(first[:3, 2])
    for frame in segmentation.frames:
        if np.abs(frame.affine[:3, :3] - first[:3, :3]).max() > 1e-3 * np.abs(first[:3, :2]).max():
            raise Quarantined(Reason.LABEL_MISMATCH, "its planes are not parallel")
    places = np.array([float(frame.affine[:3, 3] @ normal) for frame in segmentation.frames])
    at = (places - places.min()) / apart_mm
    slots = np.rint(at).astype(np.int64)
    depth = int(slots.max()) + 1
    if np.abs(at - slots).max() > _UNEVEN:
        raise Quarantined(Reason.LABEL_MISMATCH, "its planes are unevenly spaced, off the scan's")
    if segmentation.columns * segmentation.rows * depth > _MOST_VOXELS:
        raise Quarantined(Reason.TOO_LARGE, f"a segmentation that spans {depth} planes")
    affine = segmentation.frames[int(places.argmin())].affine.copy()
    affine[:3, 2] = normal * apart_mm
    grid = Grid((segmentation.columns, segmentation.rows, depth), affine)
    _check_straight(segmentation, grid, slots)
    return grid, {f.index: int(slot) for f, slot in zip(segmentation.frames, slots, strict=True)}


def _check_straight(segmentation: Segmentation, grid: Grid, slots: npt.NDArray[np.int64]) -> None:
    for frame, slot in zip(segmentation.frames, slots.tolist(), strict=True):
        corner = to_voxels(grid, frame.affine)[:3, 3] - (0, 0, slot)
        if np.abs(corner[:2]).max() > _OFF:
            raise Quarantined(Reason.LABEL_MISMATCH, "its planes are shifted against each other")
