"""Uniform cubic B-splines: smooth curves through few control points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def spline_weights(places: npt.NDArray[np.float64], points: int) -> npt.NDArray[np.float64]:
    """[places, points]: how much each control point counts at places from 0 to points - 3."""
    cells = np.minimum(places.astype(int), points - 4)
    t = places - cells
    near = np.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1
    )
    weights = np.zeros((len(places), points))
    np.put_along_axis(weights, cells[:, None] + np.arange(4), near / 6, axis=1)
    return weights
