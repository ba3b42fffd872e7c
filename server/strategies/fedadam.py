"""FedAdam (Reddi et al. 2021): the second moment decays. v = beta2 * v + (1 - beta2) * d^2."""

from __future__ import annotations

from fedvox.common.arrays import Array
from fedvox.common.study.sections import StrategySection
from fedvox.server.strategies.adaptive import adaptive
from fedvox.server.strategies.averaging import blend
from fedvox.server.strategies.strategy import Strategy


def fedadam(settings: StrategySection) -> Strategy:
    """Adaptive steps from a decaying second moment."""
    beta2 = settings.beta2

    def second_moment(v: Array, square: Array) -> Array:
        return blend(beta2, v, 1 - beta2, square)

    return adaptive(settings, second_moment)
