"""What a strategy is: pure functions over a frozen state, updates folded in one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from fedvox.common.arrays import Arrays


@dataclass(frozen=True)
class State:
    """Everything the coordinator must remember between rounds; what a checkpoint holds."""

    weights: Arrays
    round: int = 0
    """Rounds closed so far."""
    slots: Mapping[str, Arrays] = field(default_factory=dict)
    """The strategy's own tensors by group: momentum, second moment, control variate."""


@dataclass(frozen=True)
class Update:
    """What one site sent, after admission."""

    site: str
    weight: int
    """How much it counts: its training patients, or 1."""
    arrays: Mapping[str, Arrays]
    """"update": after - before; further groups as the strategy asks for them."""


class Strategy(Protocol):
    """Functions without side effects: the result does not depend on the order of the updates."""

    def start(self, weights: Arrays) -> State:
        """The state before the first round."""

    def sends(self, state: State) -> Mapping[str, Arrays]:
        """Groups of tensors that go to the sites beside the weights."""

    def begin(self, state: State) -> Any:
        """An empty fold for one round."""

    def fold(self, fold: Any, update: Update) -> Any:
        """The fold with one more update in it."""

    def finish(self, state: State, fold: Any, asked: int) -> State:
        """The state after the round; `asked` is how many sites the study has in all."""
