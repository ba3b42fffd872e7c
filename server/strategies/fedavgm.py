"""FedAvgM (Hsu et al. 2019): momentum of the mean update. m = momentum * m + mean; w += lr * m."""

from __future__ import annotations

from dataclasses import replace

from fedvox.common.arrays import Arrays
from fedvox.common.study.sections import StrategySection
from fedvox.server.strategies.averaging import Averaging, blend, move
from fedvox.server.strategies.strategy import State, Strategy

SLOT = "momentum"


def fedavgm(settings: StrategySection) -> Strategy:
    """Averaging with momentum at the server; the momentum starts at zero and is not damped."""
    decay, lr = settings.server_momentum, settings.server_lr

    def step(state: State, mean: Arrays) -> State:
        momentum = {name: blend(decay, state.slots[SLOT][name], 1.0, mean[name]) for name in mean}
        return replace(state, weights=move(state, momentum, lr), slots={SLOT: momentum})

    return Averaging(step, {SLOT: 0.0})
