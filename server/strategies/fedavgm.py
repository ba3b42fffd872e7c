"""FedAvgM (Hsu et al. 2019): momentum of the mean update. m = momentum * m + mean; w += lr * m."""

from __future__ import annotations

from fedvox.common.arrays import Array
from fedvox.common.study.sections import StrategySection
from fedvox.server.strategies.averaging import Averaging, Slots, blend
from fedvox.server.strategies.strategy import Strategy

SLOT = "momentum"


def fedavgm(settings: StrategySection) -> Strategy:
    """Averaging with momentum at the server; the momentum starts at zero and is not damped."""
    decay, lr = settings.server_momentum, settings.server_lr

    def step(weights: Array, slots: Slots, mean: Array) -> tuple[Array, Slots]:
        momentum = blend(decay, slots[SLOT], 1.0, mean)
        return blend(1.0, weights, lr, momentum), {SLOT: momentum}

    return Averaging(step, {SLOT: 0.0})
