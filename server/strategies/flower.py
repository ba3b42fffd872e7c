"""Any aggregation that Flower ships, by its name: `strategy.name = "flower:FedMedian"`.

Flower aggregates lists: all updates of a round are kept until it closes, several copies of each, in
float64. Memory is O(sites x model), where our own strategies need one model whatever the number of
sites; it is for tens of sites, not for a thousand.

What a Flower strategy remembers between rounds lives in our State, not in Flower's object: a fresh
one is made for each round and told its state, so that a resumed run goes on to the bit. Updates are
sorted by site and tensors by name, so that the order of replies cannot matter. float64 is for Krum:
Flower takes distances as |x|^2 + |y|^2 - 2xy over whole weights, where in float32 a small update
drowns.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Message,
    MessageType,
    Metadata,
    MetricRecord,
    RecordDict,
)
from flwr.serverapp import strategy as shipped
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies

from fedvox.common.arrays import Arrays, require_finite
from fedvox.common.errors import FedvoxError, QuorumError, StudyError, nearest
from fedvox.common.study.sections import StrategySection
from fedvox.server.fold import check, empty
from fedvox.server.strategies.averaging import start
from fedvox.server.strategies.strategy import State, Update, group

PREFIX = "flower:"
EXAMPLES, LOSS = "num-examples", "loss"

_REFUSED = {
    "FedXgb": "it aggregates decision trees, not tensors",
    "DifferentialPrivacy": "its noise is neither seeded nor accounted for by patient",
}
_OURS = {
    "eta_l": "it is the sites' learning rate, which Flower does not use; set training.lr",
    "proximal_mu": "it acts at the sites; set strategy.name = 'fedprox' and strategy.mu",
    "train_loss_key": "it is always the sites' training loss",
}
"""Arguments that would have no effect, and what to do instead."""

_NUMBERS: Mapping[type, tuple[tuple[type, ...], str]] = {
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
}

_MOMENTS = ("m_t", "v_t")
_MOMENTUM = "momentum_vector"


def flower(settings: StrategySection) -> FlowerStrategy:
    """The Flower strategy that the study names; StudyError where it or its options are wrong."""
    name = settings.name.removeprefix(PREFIX)
    valid = aggregations()
    for prefix, reason in _REFUSED.items():
        if name.startswith(prefix):
            raise StudyError(f"strategy.name: flower:{name} cannot be used here: {reason}")
    if name not in valid:
        raise StudyError(f"strategy.name: Flower has no {name!r}; {nearest(name, valid)}")
    _check_options(name, valid[name], settings.options)
    built = FlowerStrategy(name, valid[name], settings.options)
    built.fresh()
    return built


def aggregations() -> dict[str, type[shipped.FedAvg]]:
    """The strategies of the installed Flower that can be used, by name."""
    found = {name: getattr(shipped, name) for name in shipped.__all__}
    return {
        name: kind
        for name, kind in found.items()
        if issubclass(kind, shipped.FedAvg) and not name.startswith(tuple(_REFUSED))
    }


@dataclass(frozen=True)
class FlowerStrategy:
    """A Flower aggregation as functions over our State."""

    name: str
    kind: type[shipped.FedAvg]
    options: Mapping[str, float | int | str | bool]
    partial: bool = False

    def fresh(self) -> Any:
        """Flower's object without any history; StudyError where it does not take the options."""
        try:
            return self.kind(**dict(self.options))  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            raise StudyError(f"strategy.options: flower:{self.name}: {error}") from None

    def start(self, weights: Arrays) -> State:
        """The state before the first round."""
        return start(weights, {})

    def sends(self, state: State) -> Mapping[str, Arrays]:
        """Nothing beside the weights."""
        return {}

    def expects(self, state: State) -> Mapping[str, Arrays]:
        """A change for every tensor."""
        return {"update": state.weights}

    def begin(self, state: State) -> Collected:
        """No updates."""
        return Collected(state.weights)

    def fold(self, fold: Collected, update: Update) -> Collected:
        """The updates with one more."""
        check(empty(fold.like), group(update, "update"), update.weight)
        return Collected(fold.like, (*fold.updates, update))

    def finish(self, state: State, fold: Collected, asked: int) -> State:
        """The state after the round, as Flower computes it."""
        number = state.round + 1
        strategy = self.fresh()
        _restore(strategy, state, number)
        replies = [
            _reply(state, update, number, strategy)
            for update in sorted(fold.updates, key=lambda update: update.site)
        ]
        try:
            arrays, _ = strategy.aggregate_train(number, replies)
        except (AggregationError, InconsistentMessageReplies, ValueError) as error:
            raise FedvoxError(f"round {number}: flower:{self.name} failed: {error}") from error
        if arrays is None:
            raise QuorumError(
                f"round {number}: flower:{self.name} made no model of {len(replies)} updates: too "
                "few for its options (Bulyan needs 4 x num_malicious_nodes + 3). Ask more sites, "
                "or lower the option"
            )
        weights = _weights(state, arrays)
        require_finite(weights, f"the weights after round {number}")
        return State(weights, number, _slots(strategy, sorted(state.weights)))


@dataclass(frozen=True)
class Collected:
    """The updates of a round so far."""

    like: Arrays
    updates: tuple[Update, ...] = ()


def _check_options(name: str, kind: type, options: Mapping[str, object]) -> None:
    """Options are the numbers among the constructor's own arguments."""
    parameters = inspect.signature(kind).parameters
    common = inspect.signature(shipped.FedAvg).parameters.keys() | _OURS.keys()
    valid = {n: p for n, p in parameters.items() if n not in common and p.annotation in _NUMBERS}
    where = f"strategy.options: flower:{name}"
    for key, value in options.items():
        if key in _OURS and key in parameters:
            raise StudyError(f"{where} is not given {key}: {_OURS[key]}")
        if key not in valid:
            hint = nearest(key, valid) if valid else "it has no options"
            raise StudyError(f"{where} has no option {key!r}; {hint}")
        if problem := _problem(valid[key], value):
            raise StudyError(f"{where}: {key} must be {problem}, not {value!r}")
    required = [n for n, p in valid.items() if p.default is p.empty and n not in options]
    if required:
        raise StudyError(f"{where} needs the option {required[0]}")


def _problem(parameter: inspect.Parameter, value: object) -> str:
    """What an option must be, where it is not that; Flower itself checks next to nothing."""
    accepted, words = _NUMBERS[parameter.annotation]
    number = isinstance(value, accepted) and not isinstance(value, bool)
    if not number or not isinstance(value, int | float) or value < 0:
        return f"{words}, 0 or more"
    if parameter.name.startswith("beta") and value >= 1:
        return "below 1"
    # Flower divides by the one option without a default: QFedAvg's client_learning_rate.
    return "above 0" if parameter.default is parameter.empty and value == 0 else ""


def _record(arrays: Arrays) -> ArrayRecord:
    return ArrayRecord({name: Array(np.asarray(arrays[name])) for name in sorted(arrays)})


def _reply(state: State, update: Update, number: int, strategy: Any) -> Message:
    """An update as the message that Flower would have got: the site's own weights."""
    change = update.arrays["update"]
    after = {
        name: np.add(array, change[name], dtype=np.float64) for name, array in state.weights.items()
    }
    metrics: dict[str, int | float | list[int] | list[float]] = {EXAMPLES: update.weight}
    if hasattr(strategy, "train_loss_key"):
        if LOSS not in update.figures:
            raise FedvoxError(f"{update.site}: sent no training loss, which QFedAvg weighs by")
        metrics[strategy.train_loss_key] = update.figures[LOSS]
    # With its metadata given, a message needs no identity of a Flower task in this process.
    about = Metadata(0, "", 1, 0, "", str(number), 0.0, 1.0, MessageType.TRAIN)
    content = RecordDict({"arrays": _record(after), "metrics": MetricRecord(metrics)})
    return Message(content, metadata=about)  # type: ignore[call-overload, no-any-return]


def _restore(strategy: Any, state: State, number: int) -> None:
    """Tells a fresh strategy what it would remember."""
    # Asked to train no site, Flower's hook notes the current weights and never looks at the grid.
    strategy.fraction_train = 0.0
    weights = {name: np.asarray(array, np.float64) for name, array in state.weights.items()}
    strategy.configure_train(number, _record(weights), ConfigRecord(), None)
    for slot, arrays in state.slots.items():
        held = {name: arrays[name] for name in sorted(arrays)}
        setattr(strategy, slot, list(held.values()) if slot == _MOMENTUM else held)


def _slots(strategy: Any, names: list[str]) -> dict[str, Arrays]:
    """What a strategy remembers beside the weights."""
    slots: dict[str, Arrays] = {}
    for slot in _MOMENTS:
        if getattr(strategy, slot, None):
            slots[slot] = dict(getattr(strategy, slot))
    if getattr(strategy, _MOMENTUM, None) is not None:
        slots[_MOMENTUM] = dict(zip(names, getattr(strategy, _MOMENTUM), strict=True))
    return slots


def _weights(state: State, arrays: ArrayRecord) -> Arrays:
    """Flower's result in the types and the order of the model."""
    return {name: arrays[name].numpy().astype(was.dtype) for name, was in state.weights.items()}
