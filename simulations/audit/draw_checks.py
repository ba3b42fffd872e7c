"""Whether patients were drawn as was charged: each with the same chance, each for itself."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fedvox.simulations.audit.checks import MANY_DEVIATIONS, Check, rare

Drawn = npt.NDArray[np.bool_]
_FEW = 5.0
"""Below so many expected events a binomial number is too far from normal to be judged."""


def check_draws(drawn: Drawn, sample_rate: float) -> list[Check]:
    """The checks of who was drawn, [steps, patients]."""
    if not drawn.size:
        return []
    checks = [_rate(drawn, sample_rate)]
    spread = sample_rate * (1 - sample_rate)
    if spread * drawn.shape[1] >= _FEW:
        checks.append(_sizes(drawn, sample_rate))
    if spread * drawn.size >= _FEW and drawn.shape[1] >= 10 * _FEW:
        checks.append(_patients(drawn, sample_rate))
        if len(drawn) > 1:
            checks.append(_overlap(drawn, sample_rate))
    return checks


def _rate(drawn: Drawn, sample_rate: float) -> Check:
    from scipy.stats import binomtest

    chance = float(binomtest(int(drawn.sum()), drawn.size, sample_rate).pvalue)
    return Check(
        "sampling rate",
        f"{drawn.mean():.4g}",
        f"{sample_rate:.4g}",
        rare(chance),
        f"patients were drawn {drawn.mean() / sample_rate:.3g} times as often as was charged",
    )


def _sizes(drawn: Drawn, sample_rate: float) -> Check:
    """Poisson draws differ in size; a fixed batch does not."""
    from scipy.stats import chi2

    steps, patients = drawn.shape
    spread = patients * sample_rate * (1 - sample_rate)
    off = np.abs(drawn.sum(1) - patients * sample_rate)
    # Counts are whole numbers: half a patient either way is no evidence.
    small = float(chi2.cdf(((off + 0.5) ** 2).sum() / spread, steps))
    large = float(chi2.sf((np.maximum(off - 0.5, 0) ** 2).sum() / spread, steps))
    return Check(
        "size of the draws",
        f"deviation {math.sqrt((off**2).mean()):.3g}",
        f"{math.sqrt(spread):.3g}",
        rare(2 * min(small, large)),
        "how many are drawn varies " + ("less" if small < large else "more") + " than independent "
        "patients do: the draw is not a Poisson sample",
    )


def _patients(drawn: Drawn, sample_rate: float) -> Check:
    """How often each patient was drawn."""
    steps, patients = drawn.shape
    spread = steps * sample_rate * (1 - sample_rate)
    off = (drawn.sum(0) - steps * sample_rate) ** 2 / spread
    swing = 2 + (1 - 6 * sample_rate * (1 - sample_rate)) / spread
    deviations = (off.sum() - patients) / math.sqrt(patients * max(swing, 1e-9))
    return Check(
        "draws of each patient",
        f"dispersion {off.mean():.3f}",
        "about 1",
        abs(deviations) > MANY_DEVIATIONS,
        "some patients are drawn again and again"
        if deviations > 0
        else "patients take turns: who was drawn tells who comes next",
    )


def _overlap(drawn: Drawn, sample_rate: float) -> Check:
    """Who was drawn must not tell who is drawn next."""
    steps, patients = drawn.shape
    both = int((drawn[1:] & drawn[:-1]).sum())
    square = sample_rate**2
    due = patients * (steps - 1) * square
    variance = patients * (
        (steps - 1) * (square - square**2) + 2 * (steps - 2) * (sample_rate**3 - square**2)
    )
    deviations = (both - due) / math.sqrt(variance)
    return Check(
        "draws from step to step",
        f"{both} drawn twice in a row",
        f"{due:.1f}",
        abs(deviations) > MANY_DEVIATIONS and abs(both - due) > _FEW,
        "who was drawn in one step tells who is drawn in the next",
    )
