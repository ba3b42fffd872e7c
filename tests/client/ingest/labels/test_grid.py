"""Grids: sameness, cover, and nearest voxels, one after the other."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fedvox.client.ingest.labels import grid as module
from fedvox.client.ingest.labels.grid import (
    Grid,
    covers,
    foreground_mm,
    is_same,
    overlap,
    resample_nearest,
)


def _grid(shape, spacing, origin, degrees=0.0) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("z", degrees, degrees=True).as_matrix() * spacing
    affine[:3, 3] = origin
    return Grid(shape, affine)


def test_headers_that_round_are_the_same_and_a_tenth_of_a_voxel_is_not():
    one = _grid((50, 40, 30), (0.7, 0.7, 3.0), (10, 20, 30))
    rounded = Grid(one.shape, np.round(one.affine, 4))
    moved = one.affine.copy()
    moved[0, 3] += 0.07
    assert is_same(one, rounded)
    assert not is_same(one, Grid(one.shape, moved))
    assert not is_same(one, Grid((50, 40, 31), one.affine))


@pytest.mark.parametrize("at_once", [1 << 22, 100])
def test_nearest_by_hand(monkeypatch, at_once: int):
    monkeypatch.setattr(module, "_MOST_AT_ONCE", at_once)
    source = _grid((6, 7, 8), (1.0, 1.2, 2.0), (0, 0, 0), 20)
    target = _grid((9, 8, 7), (0.8, 0.9, 1.7), (-1, 0.5, 1.1), -10)
    values = np.random.default_rng(0).integers(1, 99, source.shape).astype(np.int16)
    expected = np.zeros(target.shape, np.int16)
    for index in np.ndindex(target.shape):
        world = target.affine @ [*index, 1]
        exact = (np.linalg.inv(source.affine) @ world)[:3]
        near = np.rint(exact).astype(int)
        if ((near >= 0) & (near < source.shape)).all():
            expected[index] = values[tuple(near)]
    assert (expected > 0).sum() > 100
    assert np.array_equal(resample_nearest(values, source, target), expected)


def test_halving_the_voxels_and_back():
    coarse = _grid((4, 4, 4), (2, 2, 2), (0, 0, 0))
    fine = _grid((8, 8, 8), (1, 1, 1), (-0.5, -0.5, -0.5))
    values = np.random.default_rng(0).integers(0, 5, (4, 4, 4)).astype(np.int16)
    assert np.array_equal(
        resample_nearest(values, coarse, fine), np.kron(values, np.ones((2, 2, 2)))
    )


def test_cover_and_overlap():
    grid = _grid((10, 10, 10), (1, 1, 1), (0, 0, 0))
    values = np.zeros((10, 10, 10))
    values[:, 0, 0] = 1
    beside = _grid((10, 10, 10), (1, 1, 1), (6, 0, 0))
    assert covers(beside, foreground_mm(values, grid)) == pytest.approx(0.4)
    assert overlap(grid, beside)
    assert not overlap(grid, _grid((10, 10, 10), (1, 1, 1), (11, 0, 0)))
