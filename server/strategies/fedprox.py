"""FedProx (Li et al. 2020): averaging; the pull towards the incoming weights acts at the sites."""

from __future__ import annotations

from fedvox.common.study.sections import StrategySection
from fedvox.server.strategies.fedavg import fedavg
from fedvox.server.strategies.strategy import Strategy


def fedprox(settings: StrategySection) -> Strategy:
    """What the coordinator does: as in fedavg. strategy.mu is the sites' business."""
    return fedavg(settings)
