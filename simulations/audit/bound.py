"""How far the right guesses of one run refute a promise of (epsilon, delta).

One-run auditing (Steinke, Nasr and Jagielski 2023). Each of m canaries takes part or not by a coin
of its own; an attacker who sees the result guesses r of them, and v are right. Under epsilon alone
that is no likelier than P[B >= v], where B is binomial with r trials and a chance of
e^epsilon / (1 + e^epsilon). What delta adds is worked out here exactly, since the paper's term for
it, 2 m delta max over i of P[v > B >= v - i] / i, is too small where v is far below the mean of B
(m = r = 2, v = 1, epsilon 1: the best attacker gains 0.34 delta, not 0.29) and several times too
large above it, where audits are decided.

Whom the attacker guesses and how the coins fell may be mixed at random without loss, so that a
guess with k right has one probability a_k for all of them. A coin turned over says that
a_k <= e^epsilon a_(k-1) + x_k, with x_k C(r,k) k over all k adding up to m delta at most. Both are
linear: all of delta goes into one x_k, each raises P[v or more right] by

    m delta P[B < min(k, v)] P[B >= max(k, v)] / (k P[B = k])

and since B is log-concave, k = v raises it most. So the chance of v right guesses is at most

    P[B >= v] (1 + m delta P[B < v] / (v P[B = v]))

and there is a mechanism that reaches it. Every epsilon at which that chance is small is refuted.
"""

from __future__ import annotations

import math

import numpy as np

from fedvox.common.errors import InputError

_LARGEST = 100.0
"""No number of guesses that a machine can hold refutes more."""
_HALVINGS = 40


def chance_under(epsilon: float, delta: float, canaries: int, guesses: int, right: int) -> float:
    """Largest chance that (epsilon, delta) leaves an attacker for so many right guesses."""
    if not (0 <= right <= guesses <= canaries and epsilon >= 0 and 0 <= delta <= 1):
        raise InputError(
            f"{right} of {guesses} guesses on {canaries} canaries at ({epsilon}, {delta}): makes "
            "no sense"
        )
    from scipy.stats import binom

    chance = 1 / (1 + math.exp(-epsilon))
    tail = float(binom.sf(right - 1, guesses, chance))
    if not right or not delta:
        return min(tail, 1.0)
    # Tails over their first term: both may be too small to be written down.
    if right >= guesses * chance:
        others = float(binom.cdf(right - 1, guesses, chance))
        slope = others * _over(epsilon, guesses, right, np.arange(right, guesses + 1))
    else:
        slope = tail * _over(epsilon, guesses, right, np.arange(right))
    return min(tail + canaries * delta * slope / right, 1.0)


def _over(epsilon: float, guesses: int, right: int, counts: np.ndarray) -> float:
    """The binomial's probability of these counts, over that of `right`."""
    from scipy.special import gammaln

    def ways(count: np.ndarray) -> np.ndarray:
        return -np.asarray(gammaln(count + 1) + gammaln(guesses - count + 1))

    logs = ways(counts) - ways(np.array([right])) + (counts - right) * epsilon
    return float(np.exp(logs).sum())


def epsilon_refuted(
    canaries: int, guesses: int, right: int, delta: float, confidence: float = 0.95
) -> float:
    """The largest epsilon that the right guesses refute; 0 where they refute none."""
    if not 0 < confidence < 1:
        raise InputError(f"confidence {confidence}: must lie between 0 and 1, as 0.95 does")
    chance = 1 - confidence
    if chance_under(0.0, delta, canaries, guesses, right) >= chance:
        return 0.0
    low, high = 0.0, _LARGEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if chance_under(middle, delta, canaries, guesses, right) < chance:
            low = middle
        else:
            high = middle
    return low
