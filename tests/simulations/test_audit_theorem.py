"""The bound on right guesses against the best attacker there can be, found by linear programming.

A mechanism that answers for its attacker says directly who took part: for every way the canaries'
coins fell, a distribution over guesses. (epsilon, delta) between ways that differ in one coin is a
set of linear inequalities, and so is how often enough guesses are right: the largest chance that
the theorem has to cover is the solution of a linear program.
"""

import itertools
import math
from collections.abc import Callable
from operator import eq, ne

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse import lil_matrix
from scipy.stats import binom

from fedvox.simulations.audit.bound import chance_under, epsilon_refuted


def guesses_of(canaries: int, guesses: int) -> list[tuple[int, ...]]:
    """Every way to guess so many: 1 took part, -1 did not, 0 is not guessed."""
    ways = itertools.product((-1, 0, 1), repeat=canaries)
    return [way for way in ways if sum(map(abs, way)) == guesses]


def best(epsilon: float, delta: float, canaries: int, guesses: int, right: int) -> float:
    """The largest chance of so many right guesses that any mechanism leaves."""
    coins = list(itertools.product((-1, 1), repeat=canaries))
    outputs = guesses_of(canaries, guesses)
    pairs = [(a, b) for a in coins for b in coins if sum(map(ne, a, b)) == 1]
    chance = {(coin, out): n for n, (coin, out) in enumerate(itertools.product(coins, outputs))}
    over = {
        (*pair, out): len(chance) + n
        for n, (pair, out) in enumerate(itertools.product(pairs, outputs))
    }
    gain = np.zeros(len(chance) + len(over))
    for (coin, out), n in chance.items():
        if sum(map(eq, coin, out)) >= right:
            gain[n] = 1 / len(coins)
    # over >= chance(a) - e^epsilon chance(b), and all of a pair's together at most delta
    upper = lil_matrix((len(over) + len(pairs), len(gain)))
    limit = np.zeros(upper.shape[0])
    for row, ((a, b, out), n) in enumerate(over.items()):
        upper[row, chance[a, out]], upper[row, chance[b, out]] = 1, -math.exp(epsilon)
        upper[row, n] = -1
    for row, (a, b) in enumerate(pairs, start=len(over)):
        for out in outputs:
            upper[row, over[a, b, out]] = 1
        limit[row] = delta
    whole = lil_matrix((len(coins), len(gain)))
    for row, coin in enumerate(coins):
        for out in outputs:
            whole[row, chance[coin, out]] = 1
    solved = linprog(-gain, upper.tocsr(), limit, whole.tocsr(), np.ones(len(coins)))
    assert solved.success
    return float(-solved.fun)


CASES = [
    (canaries, guesses, right)
    for canaries in (1, 2, 3)
    for guesses in range(1, canaries + 1)
    for right in range(1, guesses + 1)
]


@pytest.mark.parametrize("epsilon", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("delta", [0.0, 1e-3, 0.05])
@pytest.mark.parametrize("canaries, guesses, right", CASES)
def test_no_mechanism_leaves_more_than_the_bound(
    epsilon: float, delta: float, canaries: int, guesses: int, right: int
) -> None:
    found = best(epsilon, delta, canaries, guesses, right)
    allowed = chance_under(epsilon, delta, canaries, guesses, right)
    assert found <= allowed + 1e-7
    if delta < 0.05:  # so much of it that nothing else happens is the only case with less
        assert found == pytest.approx(allowed, abs=1e-7)


def test_the_published_term_for_delta_is_exceeded_by_the_best_attacker() -> None:
    """Two canaries, one of them right or both: why the bound does not use it."""
    epsilon, delta = 1.0, 1e-3
    chance = 1 / (1 + math.exp(-epsilon))
    none = float(binom.pmf(0, 2, chance))
    published = 1 - none + 2 * 2 * delta * none
    assert best(epsilon, delta, 2, 2, 1) > published + 4e-5


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 2.0, 9.0])
@pytest.mark.parametrize("canaries, guesses", [(40, 40), (90, 17), (300, 300)])
def test_of_all_ways_to_use_delta_the_bound_takes_the_best(
    epsilon: float, canaries: int, guesses: int
) -> None:
    """The linear program that is left once guesses with as many right are as likely."""
    delta, chance = 1e-4, 1 / (1 + math.exp(-epsilon))
    for right in {1, guesses // 3, guesses // 2, guesses - 3, guesses}:
        gains = [
            binom.cdf(min(k, right) - 1, guesses, chance)
            * binom.sf(max(k, right) - 1, guesses, chance)
            / (k * binom.pmf(k, guesses, chance))
            for k in range(1, guesses + 1)
            if binom.pmf(k, guesses, chance) > 1e-200
        ]
        due = binom.sf(right - 1, guesses, chance) + canaries * delta * max(gains)
        found = chance_under(epsilon, delta, canaries, guesses, right)
        assert found >= min(due, 1.0) * (1 - 1e-9)
        if binom.pmf(right, guesses, chance) > 1e-200:
            assert found == pytest.approx(min(due, 1.0), rel=1e-6)


@pytest.mark.parametrize("right", [1, 500, 700, 999, 1000])
@pytest.mark.parametrize("delta", [0.0, 1e-5, 1e-3])
def test_it_grows_with_epsilon_and_stays_a_chance(right: int, delta: float) -> None:
    grid = [0.0, 1e-3, 0.1, 1.0, 3.0, 10.0, 40.0, 100.0]
    found = [chance_under(epsilon, delta, 1000, 1000, right) for epsilon in grid]
    assert all(0 <= one <= 1 for one in found)
    assert all(low <= high * (1 + 1e-9) for low, high in itertools.pairwise(found))
    assert found[-1] == 1.0


def simulated(
    attack: Callable[[np.random.Generator, np.ndarray], np.ndarray],
    epsilon: float,
    delta: float,
    canaries: int,
    guesses: int,
) -> float:
    """How often the bound at 95 % is above the epsilon that the mechanism keeps to."""
    rng = np.random.default_rng(7)
    bounds: dict[int, float] = {}
    wrong, runs = 0, 2000
    for _ in range(runs):
        took_part = rng.random(canaries) < 0.5
        right = int((attack(rng, took_part)[:guesses] == took_part[:guesses]).sum())
        if right not in bounds:
            bounds[right] = epsilon_refuted(canaries, guesses, right, delta)
        wrong += bounds[right] > epsilon
    return wrong / runs


@pytest.mark.parametrize("guesses", [400, 100, 12])
def test_answers_exactly_at_the_bound_are_refuted_as_seldom_as_promised(guesses: int) -> None:
    """The rest is not guessed; the surest are the first, as the mechanism is the same for all."""
    epsilon = 1.5

    def response(rng: np.random.Generator, took_part: np.ndarray) -> np.ndarray:
        return took_part ^ (rng.random(len(took_part)) > 1 / (1 + math.exp(-epsilon)))

    wrong = simulated(response, epsilon, 0.0, 400, guesses)
    chance = 1 / (1 + math.exp(-epsilon))
    least = next(v for v in range(guesses + 2) if binom.sf(v - 1, guesses, chance) < 0.05)
    due = float(binom.sf(least - 1, guesses, chance))
    assert due <= 0.05
    assert abs(wrong - due) < 5 * math.sqrt(due * (1 - due) / 2000) + 1e-9


def test_a_mechanism_that_tells_everything_once_in_a_while_keeps_to_the_bound() -> None:
    """With a chance of delta everybody's answer is true: that is (epsilon, delta), and no more."""
    epsilon, delta, canaries = 1.0, 0.02, 50

    def blabbing(rng: np.random.Generator, took_part: np.ndarray) -> np.ndarray:
        if rng.random() < delta:
            return took_part
        return took_part ^ (rng.random(canaries) > 1 / (1 + math.exp(-epsilon)))

    chance = 1 / (1 + math.exp(-epsilon))
    for right in range(canaries + 1):
        exact = delta + (1 - delta) * float(binom.sf(right - 1, canaries, chance))
        assert exact <= chance_under(epsilon, delta, canaries, canaries, right) + 1e-12
    assert simulated(blabbing, epsilon, delta, canaries, canaries) <= 0.05


def test_each_canary_told_with_a_chance_of_delta_keeps_to_the_bound() -> None:
    epsilon, delta, canaries = 1.0, 0.01, 60
    truth = delta + (1 - delta) / (1 + math.exp(-epsilon))
    for guesses in (60, 20, 5):
        for right in range(guesses + 1):
            exact = float(binom.sf(right - 1, guesses, truth))
            assert exact <= chance_under(epsilon, delta, canaries, guesses, right) + 1e-12
