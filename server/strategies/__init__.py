"""One strategy a file: pure functions over a frozen state."""

from __future__ import annotations

from fedvox.server.strategies.registry import STRATEGIES, strategy_for
from fedvox.server.strategies.strategy import State, Strategy, Update

__all__ = ["STRATEGIES", "State", "Strategy", "Update", "strategy_for"]
