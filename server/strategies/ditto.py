"""Ditto (Li et al. 2021): the global model, by averaging; personal models never leave the sites."""

from __future__ import annotations

from fedvox.common.study.sections import StrategySection
from fedvox.server.strategies.fedavg import fedavg
from fedvox.server.strategies.strategy import Strategy


def ditto(settings: StrategySection) -> Strategy:
    """What the coordinator does: as in fedavg. strategy.ditto_lambda is the sites' business."""
    return fedavg(settings)
