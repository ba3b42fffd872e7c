"""Noise on counts: Gaussian, from the operating system, rounded, and charged as one step.

A patient adds one to some cell of each histogram, so that by coming or going he moves the whole by
the root of their number at most. Noise of `noise_multiplier` times that on every count is one step
of the Gaussian mechanism on all patients, which is what a ledger can charge. Rounding comes after
the noise and costs nothing; it also leaves no low digits that could tell what was added to what.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import SystemRandom

from fedvox.common.privacy.charge import Charge
from fedvox.common.privacy.noise import noise_for

Draw = Callable[[float], float]
"""Deviation -> a number of that deviation around zero."""


def system_draw(deviation: float) -> float:
    """A number that nobody can draw again."""
    return SystemRandom().gauss(0.0, deviation)


def charge_for(epsilon: float, delta: float) -> Charge:
    """The one step that spends no more than epsilon."""
    return Charge(1.0, noise_for(epsilon, delta, 1.0, 1), 1)


def reach(histograms: int) -> float:
    """How far one patient can move so many counts of which each may change by one."""
    return math.sqrt(histograms)


def noised(counts: Sequence[int], deviation: float, least: int, draw: Draw) -> tuple[int, ...]:
    """The counts with noise on every cell, empty ones too; what is then below `least` is empty."""
    found = (round(count + draw(deviation)) for count in counts)
    return tuple(count if count >= least else 0 for count in found)
