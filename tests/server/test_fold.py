"""The exact sum: order, error bound, overflow, types."""

from __future__ import annotations

import time
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedvox.common.errors import NotFiniteError
from fedvox.server.fold import FoldError, add, check, drained, empty


def folded(summands, like=None, **kwargs):
    total = empty(like or summands[0][0], **kwargs)
    for arrays, weight in summands:
        total = add(total, arrays, weight)
    return total


def averaged(total, divisor=0):
    """All of the mean, or of the sum over another divisor; the sum is spent by it."""
    return {
        name: np.concatenate([np.empty(0, np.float32), *parts]).reshape(total.shapes[name])
        for name, parts in drained(total, divisor or total.weight)
    }


def model(rng, dtype=np.float32):
    return {
        "a": (10 ** rng.uniform(-9, 3, (3, 5)) * rng.choice([-1, 1], (3, 5))).astype(dtype),
        "b": rng.standard_normal(7).astype(dtype),
    }


def test_three_elements_by_hand() -> None:
    one = {"w": np.array([1.0, -2.0, 0.5], np.float32)}
    two = {"w": np.array([4.0, 1.0, -0.5], np.float32)}
    total = folded([(one, 1), (two, 3)])
    assert (total.weight, total.summands) == (4, 2)
    np.testing.assert_array_equal(total.totals["w"], np.array([13, 1, -1]) * 2**32)
    np.testing.assert_array_equal(averaged(total)["w"], np.float32([13 / 4, 1 / 4, -1 / 4]))
    total = folded([(one, 1), (two, 3)])
    np.testing.assert_array_equal(averaged(total, 8)["w"], np.float32([13 / 8, 1 / 8, -1 / 8]))
    assert not total.totals, "what was averaged is not kept"


def test_rounding_is_half_to_even() -> None:
    ulp = 2.0**-32
    values = {"w": np.array([0.5 * ulp, 1.5 * ulp, 2.5 * ulp, -0.5 * ulp, 0.75 * ulp], np.float64)}
    assert folded([(values, 1)]).totals["w"].tolist() == [0, 2, 2, 0, 1]


def test_every_order_gives_the_same_bits() -> None:
    rng = np.random.default_rng(1)
    summands = [(model(rng), int(weight)) for weight in rng.integers(1, 300, 5)]
    first = averaged(folded(summands))
    plain = set()
    for order in permutations(summands):
        other = averaged(folded(list(order)))
        assert all(other[name].tobytes() == first[name].tobytes() for name in first)
        sums = sum((arrays["a"] * np.float32(weight) for arrays, weight in order), np.float32(0))
        plain.add(sums.tobytes())
    assert len(plain) > 1, "floating point would have differed, else this test shows nothing"


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(
        st.tuples(st.floats(-1e4, 1e4, width=32), st.integers(1, 5000)), min_size=1, max_size=12
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_order_and_error_bound(values, seed) -> None:
    summands = [({"w": np.array([value], np.float32)}, weight) for value, weight in values]
    total = folded(summands)
    shuffled = [summands[i] for i in np.random.default_rng(seed).permutation(len(summands))]
    assert folded(shuffled).totals["w"].tobytes() == total.totals["w"].tobytes()
    exact = sum(Fraction(value) * weight for value, weight in values)
    got = Fraction(int(total.totals["w"][0]), 2**32)
    assert abs(got - exact) <= Fraction(total.weight, 2**33)
    assert abs(int(total.totals["w"][0])) <= total.bound


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_types_agree_on_values_that_all_can_hold(dtype) -> None:
    values = {"w": np.array([0.25, -3.0, 1000.5], dtype)}
    result = averaged(folded([(values, 7)]))["w"]
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, np.float32([0.25, -3.0, 1000.5]))


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.bool_, np.complex64, np.longdouble])
def test_other_types_are_refused_by_name(dtype) -> None:
    like = {"steps": np.zeros(2, np.float32)}
    with pytest.raises(FoldError, match=r"steps: is .*only float16, 32 and 64"):
        add(empty(like), {"steps": np.zeros(2, dtype)})


def test_overflow_is_refused_before_it_happens() -> None:
    top = {"w": np.array([2.0**20, 1.0], np.float32)}
    total = folded([(top, 2**10)])
    before = total.totals["w"].copy()
    with pytest.raises(FoldError, match=r"could exceed its 63 bits.*max_update_norm"):
        add(total, top, 2**10)
    np.testing.assert_array_equal(total.totals["w"], before)
    again = add(total, top, 2**10 - 1)
    assert int(again.totals["w"][0]) == (2**11 - 1) * 2**52 < 2**63
    with pytest.raises(FoldError, match="63 bits"):
        add(empty(top), {"w": np.array([2.0**31, 0.0], np.float32)})
    with pytest.raises(FoldError, match="63 bits"):
        add(empty(top), {"w": np.array([-1e300, 0.0])})


def test_overflow_does_not_depend_on_the_sign_or_order() -> None:
    up, down = {"w": np.array([2.0**30])}, {"w": np.array([-(2.0**30)])}
    for order in ((up, down), (down, up)):
        with pytest.raises(FoldError, match="63 bits"):
            folded([(arrays, 1) for arrays in order])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite_is_refused_and_changes_nothing(bad) -> None:
    good = {"v": np.ones(3, np.float32), "w": np.ones(3, np.float32)}
    total = folded([(good, 2)])
    with pytest.raises(NotFiniteError, match="w holds NaN or infinity"):
        add(total, {"v": good["v"], "w": np.array([1, bad, 1], np.float32)})
    assert averaged(add(total, good, 1))["v"].tolist() == [1, 1, 1]


def test_names_and_shapes_are_checked() -> None:
    like = {"v": np.ones(3, np.float32), "w": np.ones(2, np.float32)}
    with pytest.raises(FoldError, match="tensors are missing: 'w'"):
        add(empty(like), {"v": like["v"]})
    with pytest.raises(FoldError, match="'x' is not a tensor of the model"):
        add(empty(like), {**like, "x": like["v"]})
    with pytest.raises(FoldError, match=r"w: has shape \(3,\), the model \(2,\)"):
        add(empty(like), {"v": like["v"], "w": like["v"]})
    with pytest.raises(FoldError, match="weight 0"):
        add(empty(like), like, 0)


def test_partial_sums_take_the_names_of_the_first() -> None:
    like = {"v": np.ones(3, np.float32), "w": np.ones(2, np.float32)}
    shared = {"w": like["w"]}
    total = add(empty(like, partial=True), shared)
    with pytest.raises(FoldError, match="left out: 'v'"):
        check(total, like, 1)
    with pytest.raises(FoldError, match="missing: 'w'"):
        check(total, {"v": like["v"]}, 1)
    assert list(averaged(add(total, shared))) == ["w"]
    with pytest.raises(FoldError, match="no tensors"):
        check(empty(like, partial=True), {}, 1)


def test_a_spent_sum_cannot_be_used_again() -> None:
    one = {"w": np.ones(3, np.float32)}
    first = add(empty(one), one)
    second = add(first, one)
    for use in (lambda: add(first, one), lambda: drained(first, 1)):
        with pytest.raises(FoldError, match="used already"):
            use()
    averaged(second)
    with pytest.raises(FoldError, match="used already"):
        drained(second, 2)


def test_nothing_to_average() -> None:
    with pytest.raises(FoldError, match="nothing to average"):
        drained(empty({"w": np.ones(3, np.float32)}), 1)


def test_odd_layouts_and_sizes() -> None:
    rng = np.random.default_rng(3)
    base = rng.standard_normal((70_000, 2)).astype(np.float32)
    arrays = {
        "transposed": base.T,
        "strided": base[::3, 1],
        "scalar": np.array(0.5, np.float32),
        "none": np.zeros((0, 4), np.float32),
    }
    result = averaged(folded([(arrays, 3), (arrays, 5)]))
    for name, array in arrays.items():
        assert result[name].shape == array.shape
        np.testing.assert_allclose(result[name], array, rtol=0, atol=2**-32)


def test_five_million_parameters_fold_fast() -> None:
    rng = np.random.default_rng(0)
    arrays = {f"layer{i}": rng.standard_normal(500_000, np.float32) for i in range(10)}
    total, seconds = add(empty(arrays), arrays, 3), []
    for _ in range(5):
        begun = time.thread_time()
        total = add(total, arrays, 17)
        seconds.append(time.thread_time() - begun)
    assert min(seconds) < 0.05
