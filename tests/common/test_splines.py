import numpy as np
from scipy.interpolate import BSpline

from fedvox.common.splines import spline_weights


def test_weights_are_those_of_scipys_splines() -> None:
    places = np.linspace(0, 5, 41)
    knots = np.arange(-3, 9, dtype=float)
    expected = BSpline.design_matrix(places, knots, 3).toarray()
    np.testing.assert_allclose(spline_weights(places, 8), expected, atol=1e-12)


def test_equal_points_give_a_flat_curve() -> None:
    weights = spline_weights(np.linspace(0, 1, 7), 4)
    np.testing.assert_allclose(weights @ np.ones(4), 1)
