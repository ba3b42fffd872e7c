"""Painting contours on a scan.

Contours that lie in slices of the scan, along whichever of its axes, fill those slices: each plane
of contours fills the slice that is nearest to it, half a slice away at most, and of several planes
the nearest one does. Slices between contours stay empty: a gap may be meant. Of contours that were
drawn on another series each plane is as thick as the planes are apart, and fills all slices that
this reaches: that series may have thicker slices. Contours that are oblique to the scan fill the
voxels within half the distance between their planes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedvox.client.ingest.labels.canvas import Canvas, names_of, values_of
from fedvox.client.ingest.labels.contours import Outline, Points
from fedvox.client.ingest.labels.grid import Grid, covers
from fedvox.client.ingest.labels.label import Label
from fedvox.client.ingest.labels.oblique import paint_oblique
from fedvox.client.ingest.labels.polygons import fill

_FLAT = 0.3
"""Voxels within which the points of a contour lie in one slice."""
_SAME_PLANE = 0.05
"""Voxels between planes of contours that are one plane."""
_HALF = 0.5 + 1e-3

Whole = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Plane:
    """Contours of one structure in one plane of the scan."""

    at: float
    """In voxels, along the axis that the plane is perpendicular to."""
    polygons: list[Points]


def paint_outlines(
    outlines: Sequence[Outline], grid: Grid, wanted: Mapping[str, int], of_another: bool = False
) -> Label:
    """The structures as a map on the scan's grid; `of_another`: drawn on another series."""
    structures = [outline.structure for outline in outlines]
    values = values_of(structures, wanted)
    canvas = Canvas(grid.shape)
    for outline in outlines:
        value = values.get(outline.structure.number, 0)
        if value:
            points = np.concatenate(outline.contours)
            part = covers(grid, points)
            canvas.count(part * len(points), (1 - part) * len(points))
            _paint(canvas, outline.contours, grid, value, of_another)
    return canvas.finish(names_of(structures, values))


def _paint(
    canvas: Canvas, contours: Sequence[Points], grid: Grid, value: int, of_another: bool
) -> None:
    inverse = np.linalg.inv(grid.affine)
    voxels = [points @ inverse[:3, :3].T + inverse[:3, 3] for points in contours]
    axes = _axes(voxels)
    for axis in range(3):
        flat = [points for points, its in zip(voxels, axes, strict=True) if its == axis]
        slices = _by_slab if of_another else _by_slice
        for index, plane in slices(_planes(flat, axis), grid.shape[axis]).items():
            across = [other for other in range(3) if other != axis]
            shape = np.delete(grid.shape, axis)
            polygons = [polygon[:, across] for polygon in plane.polygons]
            low, high = _box(polygons, shape)
            x, y = (slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True))
            inside = fill(
                [polygon - low for polygon in polygons], (x.stop - x.start, y.stop - y.start)
            )
            region = [x, y]
            region.insert(axis, slice(index, index + 1))
            drawn = np.expand_dims(inside * np.int16(value), axis)
            canvas.paint((region[0], region[1], region[2]), drawn)
    oblique = [points for points, its in zip(contours, axes, strict=True) if its < 0]
    if oblique:
        paint_oblique(canvas, oblique, grid, value)


def _box(polygons: Sequence[Points], shape: Whole) -> tuple[Whole, Whole]:
    """The pixels that the polygons can reach."""
    points = np.concatenate(polygons)
    low = np.clip(np.floor(points.min(axis=0)), 0, shape).astype(np.int64)
    high = np.clip(np.ceil(points.max(axis=0)) + 1, low, shape).astype(np.int64)
    return low, high


def _axes(voxels: Sequence[Points]) -> list[int]:
    """The axis that each contour is perpendicular to, -1 for none.

    A sliver may be flat along two: then it goes with most contours of its structure.
    """
    flat = np.array([np.ptp(points, axis=0) <= _FLAT for points in voxels])
    order = sorted(range(3), key=lambda axis: (-int(flat[:, axis].sum()), -axis))
    return [next((axis for axis in order if row[axis]), -1) for row in flat]


def _planes(contours: Sequence[Points], axis: int) -> list[_Plane]:
    """Contours by the plane they lie in."""
    planes: list[_Plane] = []
    for at, points in sorted(
        ((float(points[:, axis].mean()), points) for points in contours), key=lambda pair: pair[0]
    ):
        if planes and at - planes[-1].at <= _SAME_PLANE:
            planes[-1].polygons.append(points)
        else:
            planes.append(_Plane(at, [points]))
    return planes


def _by_slice(planes: Sequence[_Plane], length: int) -> dict[int, _Plane]:
    """The plane that fills each slice: the nearest one."""
    chosen: dict[int, _Plane] = {}
    for plane in planes:
        index = int(np.ceil(plane.at - _HALF))
        if not 0 <= index < length or abs(plane.at - index) > _HALF:
            continue
        if index not in chosen or abs(plane.at - index) < abs(chosen[index].at - index):
            chosen[index] = plane
    return chosen


def _by_slab(planes: Sequence[_Plane], length: int) -> dict[int, _Plane]:
    """The plane in whose slab each slice lies; slabs no thicker than a slice are planes."""
    places = np.array([plane.at for plane in planes])
    thick = float(np.diff(places).min()) if len(places) > 1 else 0.0
    if thick <= 1 + _SAME_PLANE:
        return _by_slice(planes, length)
    chosen: dict[int, _Plane] = {}
    for index in range(length):
        nearest = int(np.abs(places + _SAME_PLANE - index).argmin())  # of two the lower
        if -thick / 2 + _SAME_PLANE < index - places[nearest] <= thick / 2 + _SAME_PLANE:
            chosen[index] = planes[nearest]
    return chosen
