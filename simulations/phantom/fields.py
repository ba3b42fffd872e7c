"""Smooth random fields and separable filters on a cube, as small matrices.

A filter along an axis of 40 voxels is a 40 x 40 matrix: three products with it are an order of
magnitude faster than a convolution, and thousands of phantoms a minute need that.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from fedvox.common.splines import spline_weights

Field = npt.NDArray[np.float32]
"""[side, side, side]"""
Matrix = npt.NDArray[np.float32]


def smooth_field(rng: np.random.Generator, side: int, knots: int) -> Field:
    """Random values of deviation near one, varying over about side / knots voxels."""
    return smooth_block(rng, (side, side, side), (knots, knots, knots))


def smooth_block(
    rng: np.random.Generator, shape: tuple[int, int, int], knots: tuple[int, int, int]
) -> Field:
    """`smooth_field` in a box of any edges."""
    coarse = rng.standard_normal(knots, dtype=np.float32)
    first, second, third = map(_spline, shape, knots)
    return along_axes(coarse, first, second, third)


def along_axes(field: Field, first: Matrix, second: Matrix, third: Matrix) -> Field:
    """The field with a matrix applied along each of its axes."""
    # As stacks of small products, which BLAS does not spread over threads.
    field = np.matmul(np.matmul(second, field), third.T)
    return np.ascontiguousarray(np.matmul(first, field.swapaxes(0, 1)).swapaxes(0, 1))


@lru_cache(maxsize=64)
def _spline(side: int, knots: int) -> Matrix:
    """Cubic B-splines, scaled so that white noise on the knots keeps its deviation."""
    return _unit_rows(spline_weights(np.linspace(0, knots - 3, side), knots))


@lru_cache(maxsize=256)
def blur(side: int, sigma: float) -> Matrix:
    """A Gaussian of `sigma` voxels."""
    weights: Matrix = _gaussian(side, sigma).astype(np.float32)
    return weights


@lru_cache(maxsize=256)
def grain(side: int, sigma: float) -> Matrix:
    """A Gaussian that correlates white noise and leaves its deviation at one."""
    return _unit_rows(_gaussian(side, sigma))


@lru_cache(maxsize=256)
def slices(side: int, thickness: float) -> Matrix:
    """Thick slices: averaged over `thickness` voxels, interpolated back to every voxel."""
    if thickness <= 1:
        return np.eye(side, dtype=np.float32)
    count = max(2, round(side / thickness))
    centres = np.linspace(0, side - 1, count)
    width = round(thickness)
    averaged = _neighbours(side, -(width // 2), np.full(width, 1 / width))
    sampled = averaged[np.rint(centres).astype(int)]
    hats = np.stack([np.interp(np.arange(side), centres, unit) for unit in np.eye(count)], axis=1)
    weights: Matrix = (hats @ sampled).astype(np.float32)
    return weights


def _gaussian(side: int, sigma: float) -> npt.NDArray[np.float64]:
    reach = int(4 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return _neighbours(side, -reach, weights / weights.sum())


def _neighbours(side: int, first: int, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Every voxel by its neighbours from `first` on; beyond the edge lies the edge again."""
    # By hand, for loading scipy's filters takes longer than painting all of a study's phantoms.
    own = np.arange(side)[:, None]
    others = np.clip(own + first + np.arange(len(weights)), 0, side - 1)
    matrix = np.zeros((side, side))
    np.add.at(matrix, (own, others), weights)
    return matrix


def _unit_rows(weights: npt.NDArray[np.float64]) -> Matrix:
    length = np.sqrt((weights**2).sum(axis=1, keepdims=True))
    scaled: Matrix = (weights / length).astype(np.float32)
    return scaled
