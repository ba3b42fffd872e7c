"""Contours that lie in no slice of the scan: voxels near their planes, seen along the normal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedvox.client.ingest.labels.canvas import Canvas
from fedvox.client.ingest.labels.contours import Points
from fedvox.client.ingest.labels.grid import Grid
from fedvox.client.ingest.labels.polygons import enclosed
from fedvox.client.ingest.reasons import Quarantined, Reason

_FLAT_MM = 0.5
"""A contour whose points are further from their plane is not planar."""
_PARALLEL = 1e-3
"""1 - cosine of the angle between planes that count as parallel."""
_SAME_PLANE_MM = 0.05
_MOST_AT_ONCE = 1 << 20

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Stack:
    """Parallel contours."""

    normal: Vector
    contours: list[Points]


def paint_oblique(canvas: Canvas, contours: Sequence[Points], grid: Grid, value: int) -> None:
    """Paints contours, in millimetres, that are oblique to the scan."""
    for stack in _stacks(contours):
        offsets = np.array([float((points @ stack.normal).mean()) for points in stack.contours])
        order = np.argsort(offsets, kind="stable")
        cuts = np.flatnonzero(np.diff(offsets[order]) > _SAME_PLANE_MM) + 1
        planes = np.split(order, cuts)
        places = np.array([offsets[plane].mean() for plane in planes])
        thick = float(np.median(np.diff(places))) if len(places) > 1 else _depth(grid, stack.normal)
        basis = _basis(stack.normal)
        for plane in planes:
            polygons = [stack.contours[at] for at in plane.tolist()]
            _paint(canvas, grid, polygons, basis, thick, value)


def _stacks(contours: Sequence[Points]) -> list[_Stack]:
    stacks: list[_Stack] = []
    for points in contours:
        normal = _normal(points)
        for stack in stacks:
            if abs(float(stack.normal @ normal)) > 1 - _PARALLEL:
                stack.contours.append(points)
                break
        else:
            stacks.append(_Stack(normal, [points]))
    return stacks


def _normal(points: Points) -> Vector:
    centred = points - points.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    normal = np.asarray(vectors[:, 0], dtype=np.float64)
    if np.abs(centred @ normal).max() > _FLAT_MM:
        raise Quarantined(Reason.LABEL_MISMATCH, "a contour does not lie in a plane")
    return normal


def _basis(normal: Vector) -> npt.NDArray[np.float64]:
    """Two directions in the plane, as columns."""
    least = np.eye(3)[int(np.abs(normal).argmin())]
    one = np.cross(normal, least)
    one /= np.linalg.norm(one)
    return np.stack([one, np.cross(normal, one)], axis=1)


def _depth(grid: Grid, normal: Vector) -> float:
    """How thick a voxel is along the normal of a plane that stands alone."""
    return float(np.abs(normal @ grid.affine[:3, :3]).max())


def _paint(
    canvas: Canvas,
    grid: Grid,
    polygons: Sequence[Points],
    basis: npt.NDArray[np.float64],
    thick: float,
    value: int,
) -> None:
    normal = np.cross(basis[:, 0], basis[:, 1])
    place = float((np.concatenate(polygons) @ normal).mean())
    low, high = _box(grid, polygons, normal * thick / 2)
    flat = [points @ basis for points in polygons]
    size = np.maximum(high - low, 0)
    depth = max(1, _MOST_AT_ONCE // max(int(size[0] * size[1]), 1))
    for start in range(int(low[2]), int(high[2]), depth):
        stop = min(start + depth, int(high[2]))
        ranges = [np.arange(low[0], high[0]), np.arange(low[1], high[1]), np.arange(start, stop)]
        at = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1)
        points = at.reshape(-1, 3) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
        away = points @ normal - place
        near = np.flatnonzero((away >= -thick / 2) & (away < thick / 2))
        drawn = np.zeros(len(points), dtype=np.int16)
        drawn[near[enclosed(points[near] @ basis, flat)]] = value
        region = (slice(low[0], high[0]), slice(low[1], high[1]), slice(start, stop))
        canvas.paint(region, drawn.reshape(at.shape[:3]))


def _box(
    grid: Grid, polygons: Sequence[Points], half: Vector
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The voxels that a slab around the polygons can reach."""
    inverse = np.linalg.inv(grid.affine)
    points = np.concatenate([points + side * half for points in polygons for side in (-1, 1)])
    at = points @ inverse[:3, :3].T + inverse[:3, 3]
    low = np.clip(np.floor(at.min(axis=0)), 0, grid.shape).astype(np.int64)
    high = np.clip(np.ceil(at.max(axis=0)) + 1, 0, grid.shape).astype(np.int64)
    return low, high
