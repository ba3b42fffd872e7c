"""Which pixels polygons enclose: those whose centre lies inside an odd number of them.

So a contour in a contour is a hole, and a hole that is joined to the rim by a line drawn twice (a
"keyhole") is one too. A centre that lies on an outline belongs to the polygon on the low side of
its row and column and not on the high side: areas that touch share no pixel and leave none out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Inside = npt.NDArray[np.bool_]

_DECIMALS = 6
"""Of a pixel; what matrices leave of 0.5 decides nothing."""
_MOST_EDGES = 1 << 22


def fill(polygons: Sequence[Points], shape: tuple[int, int]) -> Inside:
    """Pixels [x, y] whose centres, at whole numbers, are enclosed by polygons [points, 2]."""
    toggles = np.zeros((shape[0] + 1, shape[1]), dtype=np.uint8)
    for polygon in polygons:
        start = np.round(polygon, _DECIMALS)
        _toggle(toggles, start, np.roll(start, -1, axis=0))
    return np.asarray(np.bitwise_xor.accumulate(toggles[:-1], axis=0), dtype=bool)


def _toggle(toggles: npt.NDArray[np.uint8], start: Points, end: Points) -> None:
    """Flips, in each row that an edge crosses, the first pixel behind the crossing."""
    low = np.minimum(start[:, 1], end[:, 1])
    high = np.maximum(start[:, 1], end[:, 1])
    last = toggles.shape[1]
    first_row = np.clip(np.ceil(low), 0, last).astype(np.int64)
    rows = np.clip(np.ceil(high), 0, last).astype(np.int64) - first_row
    for part in _parts(rows):
        edge = np.repeat(part, rows[part])
        within = np.arange(len(edge)) - np.repeat(np.cumsum(rows[part]) - rows[part], rows[part])
        row = first_row[edge] + within
        (x0, y0), (x1, y1) = start[edge].T, end[edge].T
        crossing = np.round(x0 + (row - y0) * (x1 - x0) / (y1 - y0), _DECIMALS)
        pixel = np.clip(np.ceil(crossing), 0, toggles.shape[0] - 1).astype(np.int64)
        np.bitwise_xor.at(toggles, (pixel, row), np.uint8(1))


def _parts(rows: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """Edges that cross a row, in parts that cross no more of them than memory likes."""
    crossing = np.flatnonzero(rows)
    cuts = np.flatnonzero(np.diff(np.cumsum(rows[crossing]) // _MOST_EDGES)) + 1
    return np.split(crossing, cuts)


def enclosed(points: Points, polygons: Sequence[Points]) -> Inside:
    """Whether each point [n, 2] is enclosed, by the same rule; for points on no grid."""
    x, y = np.round(points, _DECIMALS).T
    inside = np.zeros(len(points), dtype=bool)
    for polygon in polygons:
        start = np.round(polygon, _DECIMALS)
        for (x0, y0), (x1, y1) in zip(start, np.roll(start, -1, axis=0), strict=True):
            if y0 != y1:
                crosses = (min(y0, y1) <= y) & (y < max(y0, y1))
                inside[crosses] ^= x[crosses] >= x0 + (y[crosses] - y0) * (x1 - x0) / (y1 - y0)
    return inside
