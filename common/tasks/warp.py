"""Rotation, scaling, elastic and grid distortion as one sampling grid, so images blur only once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from fedvox.common.splines import spline_weights
from fedvox.common.study.sections import AugmentSection

_ELASTIC_CELLS = 4
"""Cells of the elastic control grid along each axis."""
_GRID_CELLS = 5
"""Cells of the grid distortion along each axis."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Warp:
    """Drawn parameters of one spatial distortion; None: not distorted that way."""

    angles: Floats | None = None
    """Radians: about each axis in 3D, one angle in 2D."""
    zoom: float | None = None
    """Larger than 1: things get larger."""
    displacement: Floats | None = None
    """[dims, control points...] in voxels."""
    widths: Floats | None = None
    """[dims, cells]: relative width of the cells along each axis."""

    def __bool__(self) -> bool:
        return not (
            self.angles is None
            and self.zoom is None
            and self.displacement is None
            and self.widths is None
        )


def draw_warp(section: AugmentSection, dims: int, rng: np.random.Generator) -> Warp:
    """A warp drawn as the study says; what is off draws nothing."""
    angles = zoom = displacement = widths = None
    if section.rotate and rng.random() < section.rotate:
        limit = np.deg2rad(section.rotate_degrees)
        angles = rng.uniform(-limit, limit, 3 if dims == 3 else 1)
    if section.scale and rng.random() < section.scale:
        zoom = float(rng.uniform(1 - section.scale_range, 1 + section.scale_range))
    if section.elastic and rng.random() < section.elastic:
        points = (dims, *[_ELASTIC_CELLS + 3] * dims)
        displacement = rng.uniform(-section.elastic_magnitude, section.elastic_magnitude, points)
    if section.grid and rng.random() < section.grid:
        limit = section.grid_limit
        widths = rng.uniform(1 - limit, 1 + limit, (dims, _GRID_CELLS))
    return Warp(angles, zoom, displacement, widths)


def apply_warp(
    warp: Warp,
    image: npt.NDArray[np.float32],
    label: npt.NDArray[np.uint8] | None,
    spacing: tuple[float, ...],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8] | None]:
    """Both sampled at the same places: image linear, label nearest; mirrored beyond the border."""
    grid = _unit_grid(source_voxels(warp, image.shape[1:], spacing), image.shape[1:])
    warped = _sample(torch.from_numpy(image), grid, "bilinear").numpy()
    if label is None:
        return warped, None
    floats = torch.from_numpy(label[None].astype(np.float32))
    return warped, _sample(floats, grid, "nearest").numpy()[0].astype(np.uint8)


def source_voxels(
    warp: Warp, shape: tuple[int, ...], spacing: tuple[float, ...]
) -> npt.NDArray[np.float32]:
    """[dims, *shape]: the voxel coordinates at which each voxel of the result is sampled."""
    axes = [np.arange(edge, dtype=np.float64) for edge in shape]
    if warp.widths is not None:
        axes = [_stretched(axis, width) for axis, width in zip(axes, warp.widths, strict=True)]
    dims = len(shape)
    matrix = _matrix(warp, spacing)
    centre = (np.asarray(shape) - 1) / 2
    sources = np.empty((dims, *shape), dtype=np.float32)
    for row in range(dims):
        # A linear map of a product grid is a sum of one vector along each axis.
        total: Floats = np.asarray(centre[row])
        for column, axis in enumerate(axes):
            along = matrix[row, column] * (axis - centre[column])
            total = total + along.reshape([-1 if at == column else 1 for at in range(dims)])
        sources[row] = total
    if warp.displacement is not None:
        sources += _spline(warp.displacement, shape)
    return sources


def _matrix(warp: Warp, spacing: tuple[float, ...]) -> Floats:
    """From the result's voxels to the source's: rotates in millimetres, not in voxels."""
    matrix = np.eye(len(spacing)) / (1.0 if warp.zoom is None else warp.zoom)
    if warp.angles is None:
        return matrix
    planes = [(1, 2), (0, 2), (0, 1)] if len(spacing) == 3 else [(0, 1)]
    for angle, (first, second) in zip(warp.angles, planes, strict=True):
        turn = np.eye(len(spacing))
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    scale = np.asarray(spacing)
    return np.asarray(matrix * scale[None, :] / scale[:, None])


def _stretched(axis: Floats, widths: Floats) -> Floats:
    """Piecewise linear: cells of equal width in the result had `widths` in the source."""
    last = len(axis) - 1
    ends = np.concatenate([[0.0], np.cumsum(widths)]) / widths.sum() * last
    return np.asarray(np.interp(axis, np.linspace(0, last, len(ends)), ends))


def _spline(points: Floats, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Cubic B-spline over the control grid: nowhere larger than the largest control point."""
    field = points.astype(np.float32)
    for axis, edge in enumerate(shape, start=1):
        field = np.moveaxis(np.tensordot(_spline_basis(edge), field, (1, axis)), 0, axis)
    return field


@lru_cache(maxsize=32)
def _spline_basis(edge: int) -> npt.NDArray[np.float32]:
    places = np.linspace(0, _ELASTIC_CELLS, edge)
    basis = spline_weights(places, _ELASTIC_CELLS + 3).astype(np.float32)
    basis.setflags(write=False)
    return basis


def _unit_grid(sources: npt.NDArray[np.float32], shape: tuple[int, ...]) -> torch.Tensor:
    """Voxel coordinates as grid_sample wants them: last axis first, from -1 to 1."""
    last = np.maximum(np.asarray(shape, dtype=np.float32) - 1, 1).reshape(-1, *[1] * len(shape))
    unit = (sources * (2 / last) - 1).astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(unit[::-1], 0, -1)))


def _sample(channels: torch.Tensor, grid: torch.Tensor, mode: str) -> torch.Tensor:
    sampled = functional.grid_sample(
        channels[None], grid[None], mode=mode, padding_mode="reflection", align_corners=True
    )
    return sampled[0]
