"""A moving average of the model over rounds, of which the study's model is made (Polyak).

Under privacy it costs nothing, and evens out the noise of single rounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fedvox.common.arrays import Array, Arrays, blocks
from fedvox.server.fold import BLOCK
from fedvox.server.strategies.averaging import Slots, blend, stepped
from fedvox.server.strategies.strategy import State, Strategy, Update

SLOT = "average"


def model_of(state: State) -> State:
    """The state whose weights are the study's model: the average, where one is kept."""
    return replace(state, weights=state.slots[SLOT]) if SLOT in state.slots else state


@dataclass(frozen=True)
class Smoothed:
    """A strategy with a moving average of its weights beside it."""

    inner: Strategy
    decay: float

    @property
    def partial(self) -> bool:
        """As the strategy itself."""
        return self.inner.partial

    def start(self, weights: Arrays) -> State:
        """The average begins at the initial weights."""
        state = self.inner.start(weights)
        return replace(state, slots={**state.slots, SLOT: state.weights})

    def sends(self, state: State) -> Mapping[str, Arrays]:
        """As the strategy itself."""
        return self.inner.sends(state)

    def expects(self, state: State) -> Mapping[str, Arrays]:
        """As the strategy itself."""
        return self.inner.expects(state)

    def begin(self, state: State) -> Any:
        """As the strategy itself."""
        return self.inner.begin(state)

    def fold(self, fold: Any, update: Update) -> Any:
        """As the strategy itself."""
        return self.inner.fold(fold, update)

    def finish(self, state: State, fold: Any, asked: int) -> State:
        """The strategy's state, and the average moved towards its weights."""
        after = self.inner.finish(state, fold, asked)
        # Early rounds must not be held back by weights that nobody has trained.
        decay = min(self.decay, after.round / (after.round + 10))
        before = state.slots[SLOT]

        def towards(average: Array, slots: Slots, weights: Array) -> tuple[Array, Slots]:
            return blend(decay, average, 1 - decay, weights), slots

        average = {
            name: stepped(towards, before[name], {}, blocks(weights, BLOCK))[0]
            for name, weights in after.weights.items()
        }
        return replace(after, slots={**after.slots, SLOT: average})
