"""Epsilon against closed forms and pinned values, and what must hold of any history."""

import math
import time
from itertools import pairwise, permutations

import pytest
from exact import gaussian_epsilon, one_step_epsilon

from fedvox.common.errors import InputError
from fedvox.common.privacy.account import Account, epsilon
from fedvox.common.privacy.charge import Charge
from fedvox.common.privacy.losses import step_losses

DELTAS = (1e-3, 1e-5, 1e-6)
SMALL = 1e-12
"""Relative, for the rounding of numbers only."""


@pytest.mark.parametrize("noise", [0.6, 1.0, 2.0, 4.0, 20.0])
@pytest.mark.parametrize("steps", [1, 30, 1000, 10_000])
def test_everybody_in_every_step_is_the_gaussian_mechanism(noise: float, steps: int) -> None:
    account = Account([Charge(1.0, noise, steps)])
    for delta in DELTAS:
        exact = gaussian_epsilon(math.sqrt(steps) / noise, delta)
        assert exact * (1 - SMALL) <= account.epsilon(delta) <= exact * 1.002


def test_everybody_with_changing_noise_is_the_gaussian_mechanism() -> None:
    charges = [Charge(1.0, 3.0, 7), Charge(1.0, 12.0, 200), Charge(1.0, 40.0, 1000)]
    exact = gaussian_epsilon(math.sqrt(sum(c.steps / c.noise_multiplier**2 for c in charges)), 1e-4)
    assert exact <= epsilon(charges, 1e-4) <= exact * 1.002


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("noise", [0.6, 1.0, 2.0, 4.0])
def test_one_step_on_a_sample_is_never_below_the_closed_form(rate: float, noise: float) -> None:
    account = Account([Charge(rate, noise, 1)])
    for delta in DELTAS:
        exact = one_step_epsilon(rate, noise, delta)
        assert exact * (1 - SMALL) <= account.epsilon(delta) <= exact * 1.001 + 1e-9


# Estimates of Opacus 1.6's PRVAccountant at eps_error = 0.002; those with q = 1 by the closed form
# of the Gaussian mechanism with mu = sqrt(steps) / noise.
PINNED = [
    (Charge(0.01, 1.0, 1000), 1e-5, 1.828237),
    (Charge(0.05, 2.0, 1000), 1e-5, 3.699737),
    (Charge(0.25, 4.0, 1000), 1e-3, 7.632685),
    (Charge(0.001, 0.6, 1000), 1e-6, 2.106664),
    (Charge(0.1, 1.0, 30), 1e-3, 2.572906),
    (Charge(1.0, 1.0, 1), 1e-5, 4.377178),
]


@pytest.mark.parametrize(("charge", "delta", "value"), PINNED)
def test_pinned(charge: Charge, delta: float, value: float) -> None:
    assert epsilon([charge], delta) == pytest.approx(value, rel=5e-4)
    assert epsilon([charge], delta) >= value * (1 - 1e-6)


def test_nothing_charged_costs_nothing() -> None:
    assert epsilon([], 1e-5) == 0.0
    assert epsilon([Charge(0.5, 1.0, 0), Charge(0.0, 1.0, 50), Charge(0.0, 0.0, 50)], 1e-5) == 0.0


@pytest.mark.parametrize("noise", [0.0, 1e-6])
def test_without_noise_nothing_is_protected(noise: float) -> None:
    account = Account([Charge(0.1, 2.0, 10)])
    assert account.epsilon_with(Charge(0.1, noise, 1), 1e-5) == math.inf
    assert account.epsilon(1e-5) < 10
    account.add(Charge(0.1, noise, 1))
    account.add(Charge(0.1, 2.0, 10))
    assert account.epsilon(1e-5) == math.inf


@pytest.mark.parametrize(
    ("charge", "named"),
    [
        (Charge(-0.1, 1.0, 1), "sample_rate"),
        (Charge(1.1, 1.0, 1), "sample_rate"),
        (Charge(math.nan, 1.0, 1), "sample_rate"),
        (Charge(0.5, -1.0, 1), "noise_multiplier"),
        (Charge(0.5, math.nan, 1), "noise_multiplier"),
        (Charge(0.5, math.inf, 1), "noise_multiplier"),
        (Charge(0.5, 1.0, -1), "steps"),
        (Charge(0.5, 1.0, 1.5), "steps"),  # type: ignore[arg-type]
    ],
)
def test_a_charge_that_makes_no_sense_is_refused_and_changes_nothing(
    charge: Charge, named: str
) -> None:
    account = Account([Charge(0.1, 2.0, 10)])
    before = account.epsilon(1e-5)
    with pytest.raises(InputError, match=named):
        account.add(charge)
    with pytest.raises(InputError, match=named):
        account.epsilon_with(charge, 1e-5)
    assert account.epsilon(1e-5) == before


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5, math.nan, 1e-11])
def test_a_delta_that_makes_no_sense_is_refused(delta: float) -> None:
    with pytest.raises(InputError, match="delta"):
        epsilon([Charge(0.1, 2.0, 10)], delta)


def test_equal_settings_are_one_mechanism_however_they_were_charged() -> None:
    rounds = Account()
    for _ in range(20):
        rounds.add(Charge(0.1, 2.0, 30))
        rounds.add(Charge(1.0, 30.0, 1))
    merged = epsilon([Charge(1.0, 30.0, 20), Charge(0.1, 2.0, 600)], 1e-5)
    assert rounds.epsilon(1e-5) == pytest.approx(merged, rel=1e-9)


def test_the_order_does_not_matter() -> None:
    charges = [Charge(0.1, 2.0, 30), Charge(0.02, 0.8, 100), Charge(1.0, 9.0, 3)]
    said = [epsilon(order, 1e-5) for order in permutations(charges)]
    assert max(said) == pytest.approx(min(said), rel=1e-9)


def test_charges_before_and_after_a_question_are_all_counted() -> None:
    charges = [Charge(0.1 + n / 40, 2.0 + n, 30 + n) for n in range(9)]
    account = Account()
    for number, charge in enumerate(charges, start=1):
        foreseen = account.epsilon_with(charge, 1e-5)
        account.add(charge)
        assert account.epsilon(1e-5) == foreseen == epsilon(charges[:number], 1e-5)
    assert account.epsilon(1e-3) == epsilon(charges, 1e-3) < account.epsilon(1e-5)


def test_more_steps_patients_or_certainty_cost_more_and_more_noise_less() -> None:
    def rises(values: list[float]) -> bool:
        return all(low < high for low, high in pairwise(values))

    assert rises([epsilon([Charge(0.1, 2.0, n)], 1e-5) for n in (1, 2, 3, 10, 99, 100, 101, 5000)])
    assert rises([epsilon([Charge(q, 2.0, 50)], 1e-5) for q in (0.01, 0.02, 0.3, 0.31, 0.99, 1.0)])
    assert rises([epsilon([Charge(0.1, z, 50)], 1e-5) for z in (40.0, 4.0, 2.0, 1.98, 0.5, 0.1)])
    assert rises([epsilon([Charge(0.1, 2.0, 50)], d) for d in (1e-2, 1e-4, 1e-6, 1e-9)])


def test_another_study_on_the_same_patients_never_lowers_epsilon() -> None:
    # By a part in a thousand it may: the finer grid of the smaller steps is nearer to the truth.
    account = Account([Charge(1.0, 2.0, 4)])
    before = account.epsilon(1e-5)
    for charge in (Charge(0.01, 4.0, 500), Charge(0.001, 4.0, 5000), Charge(0.1, 1.0, 20)):
        account.add(charge)
        after = account.epsilon(1e-5)
        assert after > before * 0.999
        before = after


@pytest.mark.parametrize("charge", [Charge(0.25, 4.0, 10**6), Charge(0.9, 0.02, 10_000)])
def test_figures_nobody_trains_with_are_answered_too(charge: Charge) -> None:
    assert 100 < epsilon([charge], 1e-5) < math.inf


def test_practically_no_cost_is_no_cost() -> None:
    # GDP's mu = q sqrt(steps) / noise = 3e-6, so delta(0) = mu / sqrt(2 pi) = 1.3e-6
    charge = Charge(1e-3, 1e4, 1000)
    assert epsilon([charge], 1e-5) == 0.0
    assert 0 < epsilon([charge], 1e-6) < 3e-6


def _seconds(account: Account, charge: Charge) -> float:
    begun = time.perf_counter()
    account.add(charge)
    account.epsilon(1e-5)
    return time.perf_counter() - begun


def test_ten_thousand_steps_take_less_than_a_second() -> None:
    epsilon([Charge(0.5, 1.0, 1)], 1e-5)  # imports
    spent = []
    for _ in range(3):
        step_losses.cache_clear()
        spent.append(_seconds(Account(), Charge(0.02, 0.7, 10_000)))
    assert min(spent) < 0.6


def test_a_round_more_takes_a_fraction_of_a_second_and_asking_again_nothing() -> None:
    account = Account([Charge(0.1, 1.0, 3000), Charge(0.02, 0.8, 500), Charge(0.05, 1.1, 270 * 30)])
    account.epsilon(1e-5)
    spent = sorted(_seconds(account, Charge(0.05, 1.1, 30)) for _ in range(10))
    assert spent[5] < 0.25
    begun = time.perf_counter()
    for _ in range(1000):
        account.epsilon(1e-5)
    assert time.perf_counter() - begun < 0.05
