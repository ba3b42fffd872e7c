"""The body of Algorithm 2 of Reddi et al. 2021, "Adaptive federated optimization".

With d the weighted mean update (the negative of a pseudo-gradient):

    m = beta1 * m + (1 - beta1) * d
    v = second moment of d, the one thing in which fedadagrad, fedadam and fedyogi differ
    w = w + server_lr * m / (sqrt(v) + tau)

As in the paper m starts at 0, v at tau^2, and there is no correction of the bias. (Flower starts v
at 0, and its FedAdam corrects the bias: `flower:FedAdam` gives other numbers.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fedvox.common.arrays import Array, Arrays
from fedvox.common.study.sections import StrategySection
from fedvox.server.strategies.averaging import Averaging, blend, move
from fedvox.server.strategies.strategy import State, Strategy

FIRST, SECOND = "first-moment", "second-moment"

SecondMoment = Callable[[Array, Array], Array]
"""(v, d * d) -> v of the next round."""


def adaptive(settings: StrategySection, second_moment: SecondMoment) -> Strategy:
    """Averaging with an adaptive step for every element."""
    beta1, tau = settings.beta1, settings.tau

    def step(state: State, mean: Arrays) -> State:
        m = {n: blend(beta1, state.slots[FIRST][n], 1 - beta1, mean[n]) for n in mean}
        v = {n: second_moment(state.slots[SECOND][n], np.square(mean[n])) for n in mean}
        direction = {n: np.divide(m[n], np.sqrt(v[n]) + tau) for n in mean}
        weights = move(state, direction, settings.server_lr)
        return replace(state, weights=weights, slots={FIRST: m, SECOND: v})

    return Averaging(step, {FIRST: 0.0, SECOND: tau * tau})
