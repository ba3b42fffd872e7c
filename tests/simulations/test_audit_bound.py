import math

import numpy as np
import pytest
from scipy.stats import binom

from fedvox.common.errors import InputError
from fedvox.simulations.audit.bound import chance_under, epsilon_refuted
from fedvox.simulations.audit.guesses import guess, log_ratios


@pytest.mark.parametrize("guesses", [1, 20, 500])
def test_all_right_has_a_closed_form(guesses: int) -> None:
    chance = 0.05 ** (1 / guesses)
    expected = max(0.0, math.log(chance / (1 - chance)))
    assert epsilon_refuted(guesses, guesses, guesses, 0.0) == pytest.approx(expected, abs=1e-9)


def test_without_delta_it_is_the_tail_of_a_binomial() -> None:
    # Two guesses at epsilon = ln 3 are right with a chance of 3/4 each.
    assert chance_under(math.log(3), 0.0, 5, 2, 2) == pytest.approx(9 / 16)
    assert chance_under(math.log(3), 0.0, 5, 2, 1) == pytest.approx(15 / 16)
    assert chance_under(math.log(3), 0.0, 5, 2, 0) == 1.0


def test_delta_adds_what_the_best_attacker_gains() -> None:
    # P[B < 2] = 7/16 and P[B >= 2] = P[B = 2]: delta five times, by 7/16 over two.
    assert chance_under(math.log(3), 0.01, 5, 2, 2) == pytest.approx(9 / 16 + 5 * 0.01 * 7 / 32)
    # P[B < 1] = 1/16, P[B >= 1] = 15/16, P[B = 1] = 6/16.
    gain = (1 / 16) * (15 / 16) / (6 / 16)
    assert chance_under(math.log(3), 0.01, 5, 2, 1) == pytest.approx(15 / 16 + 5 * 0.01 * gain)


@pytest.mark.parametrize("right", [45, 61, 70, 80])
def test_where_audits_are_decided_the_papers_formula_allows_more(right: int) -> None:
    epsilon, delta, canaries, guesses = 0.2, 1e-3, 200, 80
    chance = 1 / (1 + math.exp(-epsilon))
    total, slope = 0.0, 0.0
    for i in range(1, right + 1):
        total += float(binom.pmf(right - i, guesses, chance))
        slope = max(slope, total / i)
    papers = float(binom.sf(right - 1, guesses, chance)) + 2 * canaries * delta * slope
    assert chance_under(epsilon, delta, canaries, guesses, right) <= papers


def test_more_right_guesses_refute_more_and_delta_refutes_less() -> None:
    found = [epsilon_refuted(1000, 100, right, 1e-6) for right in range(101)]
    assert found == sorted(found) and found[50] == 0.0 and found[100] > 3.0
    assert epsilon_refuted(1000, 100, 100, 1e-3) < epsilon_refuted(1000, 100, 100, 0.0)


@pytest.mark.parametrize("right, guesses, canaries", [(3, 2, 5), (1, 6, 5), (-1, 2, 5)])
def test_senseless_counts_are_refused(right: int, guesses: int, canaries: int) -> None:
    with pytest.raises(InputError):
        chance_under(1.0, 0.0, canaries, guesses, right)


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 2.5])
def test_randomised_response_is_refuted_up_to_its_own_epsilon(epsilon: float) -> None:
    """Each canary answers truly with a chance of e^epsilon / (1 + e^epsilon): the tightest case."""
    rng = np.random.default_rng(1)
    rights = rng.binomial(2000, 1 / (1 + math.exp(-epsilon)), size=400)
    bounds = [epsilon_refuted(2000, 2000, int(right), 0.0) for right in rights]
    wrong = np.mean(np.array(bounds) > epsilon)
    assert 0.01 < wrong < 0.09
    assert np.median(bounds) > 0.8 * epsilon


def test_odds_of_a_single_gaussian_step() -> None:
    ratios = log_ratios(np.array([[0.5, 2.0, -1.0]]), 1.0, np.array([2.0]))
    assert ratios == pytest.approx([0.0, 3 / 8, -3 / 8])
    half = log_ratios(np.array([[2.0]]), 0.5, np.array([2.0]))
    assert half == pytest.approx([math.log(0.5 + 0.5 * math.exp(3 / 8))])


def test_the_surest_are_guessed_and_all_tries_are_counted() -> None:
    rng = np.random.default_rng(2)
    took_part = rng.random(640) < 0.5
    ratios = np.where(took_part, 1.0, -1.0) * np.linspace(0.1, 5, 640)
    ratios[:320] = rng.normal(0, 0.05, 320)  # half of them tell nothing
    found = guess(ratios, took_part, 0.0, 0.95)
    assert (found.guesses, found.right) == (320, 320)
    assert found.epsilon == pytest.approx(epsilon_refuted(640, 320, 320, 0.0, 1 - 0.05 / 6))


def test_a_coin_refutes_nothing() -> None:
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        found.append(guess(rng.normal(size=500), rng.random(500) < 0.5, 1e-6, 0.95).epsilon > 0)
    assert sum(found) <= 6
