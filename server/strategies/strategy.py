"""What a strategy is: pure functions over a frozen state, updates folded in one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from fedvox.common.arrays import Arrays
from fedvox.common.errors import FedvoxError
from fedvox.common.messages import Figures


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
    figures: Figures = field(default_factory=dict)
    """What the site said beside it; only strategies that weigh by the loss look at it."""


class Strategy(Protocol):
    """Functions without side effects: the result does not depend on the order of the updates.

    A fold is used once: `fold` takes over the one it is given.
    """

    @property
    def partial(self) -> bool:
        """Whether sites may leave tensors out of their updates, all the same ones."""

    def start(self, weights: Arrays) -> State:
        """The state before the first round."""

    def sends(self, state: State) -> Mapping[str, Arrays]:
        """Groups of tensors that go to the sites beside the weights."""

    def expects(self, state: State) -> Mapping[str, Arrays]:
        """Groups that an update must hold, by tensors of the same names, shapes and types."""

    def begin(self, state: State) -> Any:
        """An empty fold for one round."""

    def fold(self, fold: Any, update: Update) -> Any:
        """The fold with one more update in it; after an error the given one still holds."""

    def finish(self, state: State, fold: Any, asked: int) -> State:
        """The state after the round; `asked` is how many sites the study has in all."""


def group(update: Update, name: str) -> Arrays:
    """One group of tensors of an update."""
    if name not in update.arrays:
        raise FedvoxError(
            f"{update.site}: the update lacks the group {name!r} that this strategy needs; "
            "does the site run the same study?"
        )
    return update.arrays[name]
