"""SCAFFOLD (Karimireddy et al. 2020), the coordinator's part.

    w = w + server_lr * weighted mean of the updates
    c = c + sum of the changes of the sites' control variates / N

N is the number of all sites of the study, not of those that answered. Sites get c in the group
"control" and send in a group of that name how their own variate changed; after option II that is
(w - y) / (local steps * local lr) - c, with y the weights after local training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fedvox.common.arrays import Arrays
from fedvox.common.errors import FedvoxError
from fedvox.common.study.sections import StrategySection
from fedvox.server.fold import Sum, check, drained, empty
from fedvox.server.strategies.averaging import Step, close, fold_group, start, stepped
from fedvox.server.strategies.fedavg import step_along_mean
from fedvox.server.strategies.strategy import State, Strategy, Update, group

CONTROL = "control"


def scaffold(settings: StrategySection) -> Strategy:
    """Averaging, corrected by control variates."""
    return Scaffold(step_along_mean(settings.server_lr))


@dataclass(frozen=True)
class Sums:
    """A round of SCAFFOLD so far."""

    updates: Sum
    controls: Sum


@dataclass(frozen=True)
class Scaffold:
    """Averaging of updates, and of the changes of control variates."""

    step: Step
    partial: bool = False

    def start(self, weights: Arrays) -> State:
        """The state before the first round: the control variate is zero."""
        return start(weights, {CONTROL: 0.0})

    def sends(self, state: State) -> Mapping[str, Arrays]:
        """The coordinator's control variate."""
        return {CONTROL: state.slots[CONTROL]}

    def expects(self, state: State) -> Mapping[str, Arrays]:
        """A change for every tensor, and for every control variate."""
        return {"update": state.weights, CONTROL: state.slots[CONTROL]}

    def begin(self, state: State) -> Sums:
        """Empty sums."""
        return Sums(empty(state.weights), empty(state.slots[CONTROL]))

    def fold(self, fold: Sums, update: Update) -> Sums:
        """The sums with one more update in them."""
        # Checked first, so that an error leaves both sums as they were.
        check(fold.controls, group(update, CONTROL), 1)
        updates = fold_group(fold.updates, update, "update", update.weight)
        return Sums(updates, fold_group(fold.controls, update, CONTROL, 1))

    def finish(self, state: State, fold: Sums, asked: int) -> State:
        """The state after the round."""
        after = close(replace(state, slots={}), fold.updates, self.step)
        return replace(after, slots={CONTROL: _control(state, fold.controls, asked)})


def _control(state: State, changes: Sum, sites: int) -> Arrays:
    if sites < changes.summands:
        raise FedvoxError(f"{changes.summands} sites answered in a study of {sites}")
    before, plus = state.slots[CONTROL], step_along_mean(1.0)
    means = drained(changes, sites)
    return {name: stepped(plus, before[name], {}, change)[0] for name, change in means}
