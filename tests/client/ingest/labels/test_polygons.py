"""Filling polygons: the same pixels as a test of each centre, one after the other."""

import numpy as np
import pytest
from labelled import circle

from fedvox.client.ingest.labels.polygons import enclosed, fill


def _one_by_one(polygons, shape):
    """Crossings counted to the left of each centre, as the rule says it."""
    found = np.zeros(shape, dtype=bool)
    for x in range(shape[0]):
        for y in range(shape[1]):
            crossings = 0
            for polygon in polygons:
                for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
                    if min(y0, y1) <= y < max(y0, y1):
                        crossings += x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x
            found[x, y] = crossings % 2
    return found


@pytest.mark.parametrize("seed", range(5))
def test_random_polygons_that_cross_themselves_and_leave_the_picture(seed: int):
    rng = np.random.default_rng(seed)
    polygons = [rng.uniform(-5, 25, (rng.integers(3, 9), 2)) for _ in range(3)]
    assert np.array_equal(fill(polygons, (20, 17)), _one_by_one(polygons, (20, 17)))


def test_vertices_on_centres():
    square = np.array([[2, 3], [6, 3], [6, 8], [2, 8]])
    found = fill([square], (10, 10))
    assert found[2:6, 3:8].all()
    assert found.sum() == 20


def test_points_on_no_grid_follow_the_same_rule():
    polygons = [circle(10, 9, 7), circle(10, 9, 3)]
    points = np.stack(np.indices((20, 17)), axis=-1).reshape(-1, 2).astype(float)
    assert np.array_equal(enclosed(points, polygons).reshape(20, 17), fill(polygons, (20, 17)))


def test_many_long_edges_are_done_in_parts(monkeypatch):
    from fedvox.client.ingest.labels import polygons as module

    comb = np.array([(x, y) for x in range(0, 60, 2) for y in ((0, 50) if x % 4 else (50, 0))])
    whole = fill([comb], (64, 64))
    monkeypatch.setattr(module, "_MOST_EDGES", 100)
    assert np.array_equal(fill([comb], (64, 64)), whole)
