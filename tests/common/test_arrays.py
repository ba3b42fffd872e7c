import numpy as np
import pytest

from fedvox.common import arrays
from fedvox.common.errors import NotFiniteError

A = {"x": np.array([1.0, 2.0], np.float32), "y": np.array(3.0, np.float32)}
B = {"x": np.array([2.0, 0.0], np.float32), "y": np.array(4.0, np.float32)}


def test_delta_and_add_undo_each_other() -> None:
    change = arrays.delta(B, A)
    np.testing.assert_array_equal(change["x"], [1.0, -2.0])
    back = arrays.add(A, change)
    for name in B:
        np.testing.assert_array_equal(back[name], B[name], strict=True)


def test_add_keeps_names_that_the_change_lacks() -> None:
    assert arrays.add(A, {"y": np.array(1.0, np.float32)})["x"] is A["x"]


def test_the_norm_goes_over_all_tensors() -> None:
    assert arrays.norm({"a": np.array([3.0]), "b": np.array([[4.0]])}) == 5.0


def test_the_hash_knows_names_types_shapes_and_values_but_no_order() -> None:
    one = arrays.sha256_of(A)
    assert arrays.sha256_of(dict(reversed(A.items()))) == one
    assert arrays.sha256_of({"x": A["x"], "z": A["y"]}) != one
    assert arrays.sha256_of({**A, "x": A["x"].reshape(2, 1)}) != one
    assert arrays.sha256_of({**A, "x": A["x"].view(np.int32)}) != one
    assert arrays.sha256_of({**A, "x": np.nextafter(A["x"], 9, dtype=np.float32)}) != one


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_tensor_that_is_not_finite_is_named(bad: float) -> None:
    with pytest.raises(NotFiniteError, match="weights: y holds"):
        arrays.require_finite({**A, "y": np.array([0.0, bad])}, "weights")
