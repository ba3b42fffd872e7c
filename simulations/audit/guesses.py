"""From what an attacker saw to who took part, and how much that refutes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedvox.simulations.audit.bound import epsilon_refuted

Floats = npt.NDArray[np.float64]
_SHARES = (1.0, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32)
"""Of the canaries, how many are guessed: decided beforehand, the surest first."""


@dataclass(frozen=True)
class Guessed:
    """The guesses that refute most."""

    canaries: int
    guesses: int
    right: int
    epsilon: float
    """Refuted at the confidence asked for, all tries counted."""
    most: float
    """What would be refuted if every canary were guessed right: no attack can show more."""


def log_ratios(seen: Floats, sample_rate: float, noise_multiplier: Floats) -> Floats:
    """[canaries] log of the odds that a canary took part, from what was seen in its direction.

    `seen` [steps, canaries] is in units of the clipping norm, and so is the noise [steps].
    """
    variance = noise_multiplier[:, None] ** 2
    drawn = (2 * seen - 1) / (2 * variance)
    with np.errstate(divide="ignore"):
        absent = np.log1p(-sample_rate)
    ratios: Floats = np.logaddexp(absent, np.log(sample_rate) + drawn).sum(0)
    return ratios


def guess(
    ratios: Floats, took_part: npt.NDArray[np.bool_], delta: float, confidence: float
) -> Guessed:
    """Guesses the canaries with the most telling odds; the share that refutes most counts.

    The confidence is shared between the shares that are tried, so that it holds for the best.
    """
    count = len(ratios)
    surest = np.argsort(-np.abs(ratios), kind="stable")
    right = ((ratios > 0) == took_part)[surest]
    sizes = sorted({max(1, round(share * count)) for share in _SHARES})
    each = 1 - (1 - confidence) / len(sizes)
    most = epsilon_refuted(count, count, count, delta, each)
    tried = []
    for size in sizes:
        hits = int(right[:size].sum())
        refuted = epsilon_refuted(count, size, hits, delta, each)
        tried.append(Guessed(count, size, hits, refuted, most))
    return max(tried, key=lambda one: (one.epsilon, one.guesses))
