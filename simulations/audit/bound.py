"""How far the right guesses of one run refute a promise of (epsilon, delta).

One-run auditing (Steinke, Nasr and Jagielski 2023, theorem 5.2). Each of m canaries takes part or
not by a coin of its own; an attacker who sees the result says of r of them which it was. Whatever
the attacker does, under (epsilon, delta) at least v of the guesses are right with a chance of at
most

    P[B >= v] + 2 m delta max over i = 1..v of P[v > B >= v - i] / i

where B is binomial with r trials and a chance of e^epsilon / (1 + e^epsilon). Every epsilon at
which that chance is small is refuted.
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
    below = binom.pmf(np.arange(right - 1, -1, -1), guesses, chance)
    slope = float((np.cumsum(below) / np.arange(1, right + 1)).max())
    return min(tail + 2 * canaries * delta * slope, 1.0)


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
