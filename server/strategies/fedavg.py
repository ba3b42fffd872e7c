"""FedAvg (McMahan et al. 2017): w += server_lr * weighted mean of the updates."""

from __future__ import annotations

from fedvox.common.arrays import Array
from fedvox.common.study.sections import StrategySection
from fedvox.server.strategies.averaging import Averaging, Slots, Step, blend
from fedvox.server.strategies.strategy import Strategy


def fedavg(settings: StrategySection) -> Strategy:
    """The weighted mean of the updates, times server_lr."""
    return Averaging(step_along_mean(settings.server_lr))


def step_along_mean(server_lr: float) -> Step:
    """The step of plain averaging."""

    def step(weights: Array, slots: Slots, mean: Array) -> tuple[Array, Slots]:
        return blend(1.0, weights, server_lr, mean), slots

    return step
