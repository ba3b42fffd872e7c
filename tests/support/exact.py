"""Epsilon where it can be said in closed form, and as Opacus' PRV accountant says it."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from opacus.accountants import PRVAccountant
from opacus.accountants.analysis.prv import PoissonSubsampledGaussianPRV, compute_safe_domain_size
from scipy.optimize import brentq
from scipy.stats import norm

from fedvox.common.privacy.charge import Charge


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Of the Gaussian mechanism with sensitivity over deviation `mu` (Balle and Wang 2018)."""

    def spent(epsilon: float) -> float:
        return float(
            norm.cdf(mu / 2 - epsilon / mu)
            - math.exp(epsilon + norm.logcdf(-mu / 2 - epsilon / mu))
        )

    return _solve(spent, delta)


def one_step_epsilon(rate: float, noise: float, delta: float) -> float:
    """Of one step on a Poisson sample: the larger of a patient added and one removed."""

    def weight(epsilon: float) -> float:
        """Where present : absent = e^epsilon, for epsilon > log(1 - rate)."""
        return noise**2 * math.log1p((math.exp(epsilon) - 1) / rate) + 0.5

    def mixture(tail: Callable[[float], float], x: float) -> float:
        return float((1 - rate) * tail(x / noise) + rate * tail((x - 1) / noise))

    def removed(epsilon: float) -> float:
        x = weight(epsilon)
        return mixture(norm.sf, x) - math.exp(epsilon) * float(norm.sf(x / noise))

    def added(epsilon: float) -> float:
        if math.exp(-epsilon) <= 1 - rate:
            return 0.0
        x = weight(-epsilon)
        return float(norm.cdf(x / noise)) - math.exp(epsilon) * mixture(norm.cdf, x)

    return max(_solve(removed, delta), _solve(added, delta))


def _solve(spent: Callable[[float], float], delta: float) -> float:
    if spent(0.0) <= delta:
        return 0.0
    high = 1.0
    while spent(high) > delta:
        high *= 2
    return float(brentq(lambda epsilon: spent(epsilon) - delta, 0.0, high, xtol=1e-13))


@dataclass(frozen=True)
class Prv:
    """What the PRV accountant says of epsilon."""

    lower: float
    estimate: float
    upper: float
    error: float
    """The error in epsilon that it was asked to keep to."""


def prv_epsilons(
    charges: Sequence[Charge], deltas: Sequence[float], points: int, largest_error: float = 0.05
) -> list[Prv] | None:
    """As exact as so many grid points allow; None where even `largest_error` needs more."""
    delta_error = min(deltas) / 1000
    steps = [charge.steps for charge in charges]
    accountant = PRVAccountant()
    accountant.history = [(c.noise_multiplier, c.sample_rate, c.steps) for c in charges]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = [PoissonSubsampledGaussianPRV(c.sample_rate, c.noise_multiplier) for c in charges]
        reach = compute_safe_domain_size(parts, steps, 0.01, delta_error)
        error = 2 * reach / points * math.sqrt(sum(steps) * math.log(12 / delta_error) / 2)
        if not error <= largest_error:
            return None
        losses = accountant._get_dprv(error, delta_error)
        said = [losses.compute_epsilon(delta, delta_error, error) for delta in deltas]
    return [Prv(float(low), float(mid), float(high), error) for low, mid, high in said]
