"""The body that strategies share: the weighted mean of the updates, then one step of the server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from fedvox.common.arrays import Array, Arrays, require_finite
from fedvox.common.errors import FedvoxError
from fedvox.server.fold import FoldError, Sum, add, empty, mean
from fedvox.server.strategies.strategy import State, Update, group

Step = Callable[[State, Arrays], State]
"""(state, mean update) -> state with new weights and slots."""


@dataclass(frozen=True)
class Averaging:
    """A strategy that is told its step along the mean update."""

    step: Step
    slots: Mapping[str, float] = field(default_factory=dict)
    """Slot -> the value all its elements start from."""
    partial: bool = False
    """Sites may leave tensors out of their updates, all the same ones."""

    def start(self, weights: Arrays) -> State:
        """The state before the first round."""
        return start(weights, self.slots)

    def sends(self, state: State) -> Mapping[str, Arrays]:
        """Nothing beside the weights."""
        return {}

    def expects(self, state: State) -> Mapping[str, Arrays]:
        """A change for every tensor."""
        return {"update": state.weights}

    def begin(self, state: State) -> Sum:
        """An empty sum."""
        return empty(state.weights, partial=self.partial)

    def fold(self, fold: Sum, update: Update) -> Sum:
        """The sum with one more update in it."""
        return fold_group(fold, update, "update", update.weight)

    def finish(self, state: State, fold: Sum, asked: int) -> State:
        """The state after the round."""
        return close(state, fold, self.step)


def start(weights: Arrays, slots: Mapping[str, float]) -> State:
    """Round 0, with constant float32 slots; refuses what cannot be averaged."""
    require_finite(weights, "the model's first weights")
    for name, array in weights.items():
        if not np.issubdtype(array.dtype, np.floating):
            raise FedvoxError(f"{name}: is {array.dtype}; only tensors of floats can be federated")
    filled = {
        slot: {name: np.full(array.shape, value, np.float32) for name, array in weights.items()}
        for slot, value in slots.items()
    }
    return State(dict(weights), 0, filled)


def fold_group(total: Sum, update: Update, name: str, weight: int) -> Sum:
    """`total` with one group of an update in it; errors name the site."""
    try:
        return add(total, group(update, name), weight)
    except FoldError as error:
        raise FoldError(f"{update.site}: group {name!r}: {error}") from None


def close(state: State, total: Sum, step: Step) -> State:
    """One step along the mean; the round counts as closed."""
    after = step(state, mean(total))
    require_finite(after.weights, f"the weights after round {state.round + 1}")
    return replace(after, round=state.round + 1)


def move(state: State, direction: Arrays, lr: float) -> Arrays:
    """weights + lr * direction, in the types of the weights; names it lacks stay as they are."""
    return {
        name: blend(1.0, array, lr, direction[name]) if name in direction else array
        for name, array in state.weights.items()
    }


def blend(a: float, x: Array, b: float, y: Array) -> Array:
    """a * x + b * y, in the type of x."""
    return np.asarray(np.add(np.multiply(x, a), np.multiply(y, b)), dtype=x.dtype)
