"""FedAvg (McMahan et al. 2017): w += server_lr * weighted mean of the updates."""

from __future__ import annotations

from dataclasses import replace

from fedvox.common.arrays import Arrays
from fedvox.common.study.sections import StrategySection
from fedvox.server.strategies.averaging import Averaging, Step, move
from fedvox.server.strategies.strategy import State, Strategy


def fedavg(settings: StrategySection) -> Strategy:
    """The weighted mean of the updates, times server_lr."""
    return Averaging(step_along_mean(settings.server_lr))


def step_along_mean(server_lr: float) -> Step:
    """The step of plain averaging."""

    def step(state: State, mean: Arrays) -> State:
        return replace(state, weights=move(state, mean, server_lr))

    return step
