"""noise_for as the inverse of epsilon."""

import math
import time

import pytest

from fedvox.common.errors import InputError
from fedvox.common.privacy.account import epsilon
from fedvox.common.privacy.charge import Charge
from fedvox.common.privacy.noise import SMALLEST_NOISE, noise_for

BEFORE = (Charge(0.25, 20.0, 600), Charge(1.0, 50.0, 1))


@pytest.mark.parametrize(
    ("target", "delta", "rate", "steps", "history"),
    [
        (8.0, 1e-3, 0.25, 600, ()),
        (1.0, 1e-2, 0.25, 600, ()),
        (0.05, 1e-5, 0.01, 10_000, ()),
        (2.0, 1e-6, 1.0, 30, ()),
        (30.0, 1e-5, 0.5, 1, ()),
        (4.0, 1e-3, 0.25, 600, BEFORE),
        (1.0, 1e-3, 0.1, 30, BEFORE),
    ],
)
def test_within_the_target_and_hardly_more_than_it_takes(
    target: float, delta: float, rate: float, steps: int, history: tuple[Charge, ...]
) -> None:
    noise = noise_for(target, delta, rate, steps, history)
    assert epsilon([*history, Charge(rate, noise, steps)], delta) <= target
    assert epsilon([*history, Charge(rate, noise * (1 - 2.5e-3), steps)], delta) > target
    assert noise == float(f"{noise:.4g}")


def test_the_noise_of_a_known_epsilon_is_found_again() -> None:
    for noise in (0.5, 1.0, 3.0, 25.0):
        target = epsilon([Charge(0.1, noise, 300)], 1e-5)
        assert noise_for(target, 1e-5, 0.1, 300) == pytest.approx(noise, rel=1.1e-3)


def test_steps_that_look_at_nobody_need_no_noise() -> None:
    assert noise_for(1.0, 1e-5, 0.1, 0) == 0.0
    assert noise_for(1.0, 1e-5, 0.0, 50) == 0.0


def test_a_target_that_asks_for_nothing_still_gets_noise() -> None:
    assert noise_for(1e9, 1e-5, 0.5, 10) == SMALLEST_NOISE
    assert math.isfinite(epsilon([Charge(0.5, SMALLEST_NOISE, 10)], 1e-5))


def test_a_history_above_the_target_is_refused_with_what_it_spent() -> None:
    with pytest.raises(InputError, match=r"epsilon 11\.\d+ at delta 0\.001 is spent already"):
        noise_for(8.0, 1e-3, 0.25, 10, [Charge(0.25, 3.0, 1000)])
    with pytest.raises(InputError, match="epsilon inf"):
        noise_for(8.0, 1e-3, 0.25, 10, [Charge(0.25, 0.0, 1)])


def test_a_history_that_leaves_nothing_is_refused() -> None:
    charge = Charge(0.25, 3.0, 1000)
    spent = epsilon([charge], 1e-3)
    with pytest.raises(InputError, match="leaves too little"):
        noise_for(spent, 1e-3, 0.25, 1, [charge])


@pytest.mark.parametrize("target", [0.0, -1.0, math.nan, math.inf])
def test_a_target_that_makes_no_sense_is_refused(target: float) -> None:
    with pytest.raises(InputError, match="target"):
        noise_for(target, 1e-5, 0.1, 10)


def test_other_input_that_makes_no_sense_is_refused() -> None:
    for delta, rate, steps in ((0.0, 0.1, 10), (1e-5, 1.1, 10), (1e-5, 0.1, -1)):
        with pytest.raises(InputError):
            noise_for(1.0, delta, rate, steps)


def test_it_is_found_quickly() -> None:
    noise_for(1.0, 1e-3, 0.5, 1)
    begun = time.perf_counter()
    noise_for(2.0, 1e-3, 0.2, 3000)
    assert time.perf_counter() - begun < 3
