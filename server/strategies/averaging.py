"""The body that strategies share: the weighted mean of the updates, then one step of the server.

A step is taken a few elements at a time, and the sum of the updates goes away under it: at no time
is there more in memory than that sum, or what is left of it, and the new weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from fedvox.common.arrays import Array, Arrays, blocks, require_finite
from fedvox.common.errors import FedvoxError
from fedvox.server.fold import BLOCK, FoldError, Sum, add, drained, empty
from fedvox.server.strategies.strategy import State, Update, group

Slots = Mapping[str, Array]
"""Of one tensor, or some elements of it, by the name of the slot."""
Step = Callable[[Array, Slots, Array], tuple[Array, Slots]]
"""(weights, slots, mean update) -> (weights, slots), for any elements of a tensor."""


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
    """One step along the mean; the round counts as closed. Tensors without updates stay."""
    weights = dict(state.weights)
    slots = {slot: dict(arrays) for slot, arrays in state.slots.items()}
    for name, mean in drained(total, total.weight):
        own = {slot: arrays[name] for slot, arrays in slots.items()}
        weights[name], moved = stepped(step, weights[name], own, mean)
        for slot, array in moved.items():
            slots[slot][name] = array
    require_finite(weights, f"the weights after round {state.round + 1}")
    return State(weights, state.round + 1, slots)


def stepped(step: Step, array: Array, slots: Slots, means: Iterable[Array]) -> tuple[Array, Slots]:
    """A tensor and its slots after a step along a mean that comes in blocks of BLOCK elements."""
    after = np.empty(array.shape, array.dtype)
    moved = {slot: np.empty(before.shape, before.dtype) for slot, before in slots.items()}
    flat = {slot: new.reshape(-1) for slot, new in moved.items()}
    pieces = zip(blocks(array, BLOCK), *(blocks(slots[slot], BLOCK) for slot in flat), strict=True)
    for number, (mean, (own, *held)) in enumerate(zip(means, pieces, strict=True)):
        part = slice(number * BLOCK, (number + 1) * BLOCK)
        after.reshape(-1)[part], others = step(own, dict(zip(flat, held, strict=True)), mean)
        for slot, new in others.items():
            flat[slot][part] = new
    return after, moved


def blend(a: float, x: Array, b: float, y: Array) -> Array:
    """a * x + b * y, in the type of x."""
    return np.asarray(np.add(np.multiply(x, a), np.multiply(y, b)), dtype=x.dtype)
