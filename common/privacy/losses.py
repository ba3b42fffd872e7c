"""Privacy-loss distributions of private steps: how finely they are counted, and composed.

dp-accounting's distributions are discrete and pessimistic: each lies on a grid of losses and is
never below the truth. The coarser the grid, the further above it. What counts is the grid against
the spread of one step's loss, not against epsilon: a twentieth of that spread is exact to a few
parts in ten thousand, whether epsilon is 0.01 or 100, and needs some ten thousand grid points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fedvox.common.privacy.charge import Charge

if TYPE_CHECKING:
    from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution

SMALLEST_NOISE = 0.02
"""Less noise than this is counted as none: one step would already cost an epsilon above 1000."""
_GRID_OVER_SPREAD = 0.05
_STEP_POINTS = 2**16
"""Most grid points of one step; rare draws of a step with little noise reach very far."""
_SUM_POINTS = 2**19
_REACH = 10.0
"""Deviations of the noise within which a loss counts; dp-accounting cuts off there too."""
_AT_ONCE = 20_000
"""Steps composed in one go."""
_KEPT = 6
"""Compositions remembered."""


def grid_interval(charges: Sequence[Charge]) -> float:
    """Distance of the grid points on which these charges can be composed, a power of two."""
    steps = sum(charge.steps for charge in charges)
    shapes = [(c.steps, *_loss_shape(c.sample_rate, c.noise_multiplier)) for c in charges]
    variance = sum(count * spread**2 for count, spread, _ in shapes)
    wanted = _GRID_OVER_SPREAD * math.sqrt(variance / steps)
    coarsest = max(
        max(extent for _, _, extent in shapes) / _STEP_POINTS,
        2 * _REACH * math.sqrt(variance) / _SUM_POINTS,
    )
    # A power of two seldom changes from one charge to the next, so that steps stay remembered;
    # and its multiples are exact.
    return min(1.0, max(_power_of_two(wanted), 2 * _power_of_two(coarsest)))


def _power_of_two(value: float) -> float:
    return 2.0 ** math.floor(math.log2(max(value, 1e-9)))


@lru_cache(maxsize=256)
def _loss_shape(sample_rate: float, noise_multiplier: float) -> tuple[float, float]:
    """Standard deviation of one step's privacy loss, and the extent of its losses."""
    sigma = noise_multiplier
    x = np.linspace(-_REACH * sigma, 1 + _REACH * sigma, 8001)
    log_ratio = (2 * x - 1) / (2 * sigma**2)
    absent = np.exp(-(x**2) / (2 * sigma**2))
    present = np.exp(-((x - 1) ** 2) / (2 * sigma**2))
    weight = (1 - sample_rate) * absent + sample_rate * present
    weight /= weight.sum()
    never = math.log1p(-sample_rate) if sample_rate < 1 else -math.inf
    loss = np.logaddexp(never, math.log(sample_rate) + log_ratio)
    mean = float(weight @ loss)
    return math.sqrt(float(weight @ (loss - mean) ** 2)), float(loss[-1] - loss[0])


@lru_cache(maxsize=32)
def step_losses(
    sample_rate: float, noise_multiplier: float, interval: float
) -> PrivacyLossDistribution:
    """Losses of one step: Gaussian noise on a Poisson sample, a patient added or removed."""
    from dp_accounting.pld import privacy_loss_distribution

    return privacy_loss_distribution.from_gaussian_mechanism(
        noise_multiplier,
        sampling_prob=sample_rate,
        value_discretization_interval=interval,
        pessimistic_estimate=True,
        use_connect_dots=True,
    )


def _repeated(step: PrivacyLossDistribution, count: int) -> PrivacyLossDistribution:
    # In one go, dp-accounting's bound on where the sum may lie grows with the count, not its root.
    if count <= _AT_ONCE:
        return step.self_compose(count) if count > 1 else step
    whole, rest = divmod(count, _AT_ONCE)
    most = _repeated(step.self_compose(_AT_ONCE), whole)
    return most.compose(_repeated(step, rest)) if rest else most


class Composition:
    """Composes charges one after the other and remembers the last few results."""

    def __init__(self) -> None:
        self._kept: dict[tuple[float, tuple[Charge, ...]], PrivacyLossDistribution] = {}

    def losses(self, charges: Sequence[Charge]) -> PrivacyLossDistribution:
        """The losses of all charges together; cheap where only the last has changed."""
        interval = grid_interval(charges)
        everything = tuple(charges)
        known = next(
            (n for n in range(len(everything), 0, -1) if (interval, everything[:n]) in self._kept),
            0,
        )
        result = self._kept.get((interval, everything[:known]))
        for number, charge in enumerate(everything[known:], start=known + 1):
            step = step_losses(charge.sample_rate, charge.noise_multiplier, interval)
            own = _repeated(step, charge.steps)
            result = own if result is None else result.compose(own)
            self._keep((interval, everything[:number]), result)
        if result is None:
            raise ValueError("there is no charge to compose")
        return result

    def _keep(self, key: tuple[float, tuple[Charge, ...]], result: PrivacyLossDistribution) -> None:
        self._kept[key] = result
        while len(self._kept) > _KEPT:
            del self._kept[next(iter(self._kept))]
