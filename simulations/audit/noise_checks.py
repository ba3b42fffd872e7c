"""Whether the noise is what was charged: as strong, everywhere, normal, and new in each step."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fedvox.simulations.audit.checks import MANY_DEVIATIONS, Check, rare
from fedvox.simulations.audit.watching import SeenStep

Floats = npt.NDArray[np.float64]
_ROUNDING = 1e-3
"""Share of the noise's deviation that single precision may change."""
_NORMAL = 3.0
_KURTOSIS_SLACK = 0.02


def check_noise(
    steps: Sequence[SeenStep], clip_norms: Floats, sizes: Sequence[int], noise_multiplier: float
) -> list[Check]:
    """The checks; `sizes` are the numbers of each tensor. Steps of unknown norm are left out."""
    known = [step for step, norm in zip(steps, clip_norms, strict=True) if norm == norm]
    if not known:
        return []
    due = noise_multiplier * clip_norms[~np.isnan(clip_norms)]
    squares = np.array([step.squares for step in known]) / due[:, None] ** 2
    fourths = sum(step.fourths / scale**4 for step, scale in zip(known, due, strict=True))
    samples = np.array([step.sample for step in known]) / due[:, None]
    counts = np.array(sizes)
    return [
        _strength(squares, counts, noise_multiplier),
        _weakest(squares, counts),
        _shape(squares, counts, float(fourths)),
        _evenness(squares, counts),
        _freshness(samples),
    ]


def _strength(squares: Floats, sizes: npt.NDArray[np.int64], noise_multiplier: float) -> Check:
    ratio = math.sqrt(squares.sum() / (len(squares) * sizes.sum()))
    chance = _chance(float(squares.sum()), int(len(squares) * sizes.sum()))
    return Check(
        "noise strength",
        f"{ratio * noise_multiplier:.4g}",
        f"{noise_multiplier:.4g}",
        rare(chance) and abs(ratio - 1) > _ROUNDING,
        f"the noise is {ratio:.3g} times what was charged",
    )


def _weakest(squares: Floats, sizes: npt.NDArray[np.int64]) -> Check:
    ratios = np.sqrt(squares.sum(0) / (len(squares) * sizes))
    chances = [
        _chance(float(total), int(len(squares) * size)) * len(sizes)
        for total, size in zip(squares.sum(0), sizes, strict=True)
    ]
    worst = int(np.argmin(chances))
    return Check(
        "noise in every tensor",
        f"{ratios[worst]:.4g} of it at worst",
        "about 1",
        rare(chances[worst]) and abs(ratios[worst] - 1) > _ROUNDING,
        f"tensor {worst} has {ratios[worst]:.3g} times the noise that was charged",
    )


def _shape(squares: Floats, sizes: npt.NDArray[np.int64], fourths: float) -> Check:
    count = len(squares) * int(sizes.sum())
    kurtosis = fourths * count / max(float(squares.sum()) ** 2, 1e-300)
    slack = max(_KURTOSIS_SLACK, MANY_DEVIATIONS * math.sqrt(24 / count))
    return Check(
        "noise is normal",
        f"kurtosis {kurtosis:.3f}",
        f"{_NORMAL:.3f}",
        abs(kurtosis - _NORMAL) > slack,
        "the noise is not normal, so that what was charged does not hold",
    )


def _evenness(squares: Floats, sizes: npt.NDArray[np.int64]) -> Check:
    """Numbers that repeat within a step make its norm swing more than independent ones do."""
    count, steps = int(sizes.sum()), len(squares)
    norms = squares.sum(1) / max(float(squares.sum()), 1e-300) * steps
    swings = float(((norms - 1) ** 2).sum()) * count / 2
    from scipy.stats import chi2

    return Check(
        "noise is independent within a step",
        f"norm swings {math.sqrt(swings / max(steps - 1, 1)):.2f}",
        "about 1",
        steps > 1 and rare(float(chi2.sf(swings, steps - 1))) and swings > 4 * steps,
        "the noise of a step repeats itself, and can be taken away",
    )


def _freshness(samples: Floats) -> Check:
    steps, places = samples.shape
    directions = samples / np.maximum(np.linalg.norm(samples, axis=1, keepdims=True), 1e-300)
    alike = np.abs(np.triu(directions @ directions.T, 1))
    largest = float(alike.max()) if steps > 1 else 0.0
    pairs = steps * (steps - 1) / 2
    chance = pairs * math.erfc(largest * math.sqrt(places / 2))
    return Check(
        "noise is new in each step",
        f"correlation {largest:.3f}",
        "about 0",
        steps > 1 and rare(chance),
        "the noise of one step comes again in another, and can be taken away",
    )


def _chance(squares: float, count: int) -> float:
    """Of a sum of squares as far from its mean as this one, either way."""
    from scipy.stats import chi2

    return 2 * float(min(chi2.cdf(squares, count), chi2.sf(squares, count)))
