"""FedBN (Li et al. 2021): norm layers stay local, all else is averaged.

Sites leave the tensors of their norm layers out of their updates. The coordinator averages the
names that come, which must be the same from every site of a round, and keeps its own values of the
others.
"""

from __future__ import annotations

from fedvox.common.study.sections import StrategySection
from fedvox.server.strategies.averaging import Averaging
from fedvox.server.strategies.fedavg import step_along_mean
from fedvox.server.strategies.strategy import Strategy


def fedbn(settings: StrategySection) -> Strategy:
    """As fedavg, over the tensors that the sites share."""
    return Averaging(step_along_mean(settings.server_lr), partial=True)
