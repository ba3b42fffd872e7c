"""The inverse of accounting: how much noise a target needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from fedvox.common.errors import InputError
from fedvox.common.privacy.account import Account, costs_nothing, require_charge, require_delta
from fedvox.common.privacy.charge import Charge
from fedvox.common.privacy.losses import SMALLEST_NOISE

LARGEST_NOISE = 1e6
"""A target that needs more has practically nothing left for the steps."""
_DIGITS = 4
_CLOSE = 2e-4
"""Relative distance from the root at which the search ends."""


def noise_for(
    target_epsilon: float,
    delta: float,
    sample_rate: float,
    steps: int,
    history: Sequence[Charge] = (),
) -> float:
    """The smallest noise multiplier with which the steps, on top of a history, keep to the target.

    Four digits, rounded up: epsilon with it is never above the target. 0 where no step looks at a
    patient, and never between 0 and SMALLEST_NOISE.
    """
    account = _checked(target_epsilon, delta, history)
    require_charge(Charge(sample_rate, 1.0, steps))
    if costs_nothing(Charge(sample_rate, 1.0, steps)):
        return 0.0
    tried: dict[float, float] = {}

    def excess(noise: float) -> float:
        """How far epsilon is above the target, on a scale on which it is nearly a line."""
        if noise not in tried:
            spent = account.epsilon_with(Charge(sample_rate, noise, steps), delta)
            tried[noise] = math.log1p(spent) - math.log1p(target_epsilon)
        return tried[noise]

    if excess(SMALLEST_NOISE) <= 0:
        return SMALLEST_NOISE
    low, high = _bracket(excess, target_epsilon, delta)
    return _rounded_up(excess, _root(excess, low, high))


def _checked(target_epsilon: float, delta: float, history: Sequence[Charge]) -> Account:
    if not (math.isfinite(target_epsilon) and target_epsilon > 0):
        raise InputError(f"epsilon {target_epsilon}: a target must be a number above 0")
    require_delta(delta)
    account = Account(history)
    spent = account.epsilon(delta)
    if spent > target_epsilon:
        raise InputError(
            f"epsilon {spent:.4g} at delta {delta:g} is spent already, more than the target "
            f"{target_epsilon:g}: no noise is enough; raise the target, or take other patients"
        )
    return account


def _bracket(
    excess: Callable[[float], float], target_epsilon: float, delta: float
) -> tuple[float, float]:
    """Two noise multipliers, the first too small, the second large enough."""
    low, high = SMALLEST_NOISE, 1.0
    while excess(high) > 0:
        low, high = high, high * 3
        if high > LARGEST_NOISE:
            raise InputError(
                f"epsilon {target_epsilon:g} at delta {delta:g} cannot be kept to by these steps "
                f"with noise up to {LARGEST_NOISE:g}: what was spent before leaves too little; "
                "raise the target, or take fewer steps"
            )
    while low < high / 3 and excess(high / 3) <= 0:
        high /= 3
    return max(low, high / 3), high


def _root(excess: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq

    def at(log_noise: float) -> float:
        # exp(log(x)) may lie a bit beyond x, and the sign there is not known.
        return excess(min(max(math.exp(log_noise), low), high))

    return math.exp(brentq(at, math.log(low), math.log(high), xtol=_CLOSE, rtol=_CLOSE))


def _rounded_up(excess: Callable[[float], float], noise: float) -> float:
    """The first number of few digits, from just below `noise` on, that keeps to the target."""
    unit = 10.0 ** (math.floor(math.log10(noise)) + 1 - _DIGITS)
    count = math.floor(noise * (1 - _CLOSE) / unit)
    while excess(candidate := float(f"{count * unit:.{_DIGITS}g}")) > 0:
        count += 1
    return candidate
