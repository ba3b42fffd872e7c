"""FedAdagrad (Reddi et al. 2021): the second moment only grows. v = v + d^2."""

from __future__ import annotations

from fedvox.common.arrays import Array
from fedvox.common.study.sections import StrategySection
from fedvox.server.strategies.adaptive import adaptive
from fedvox.server.strategies.averaging import blend
from fedvox.server.strategies.strategy import Strategy


def fedadagrad(settings: StrategySection) -> Strategy:
    """Adaptive steps that shrink with all that has been seen."""

    def second_moment(v: Array, square: Array) -> Array:
        return blend(1.0, v, 1.0, square)

    return adaptive(settings, second_moment)
