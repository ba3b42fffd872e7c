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

import numpy as np

from fedvox.common.arrays import Array
from fedvox.common.study.sections import StrategySection
from fedvox.server.strategies.averaging import Averaging, Slots, blend
from fedvox.server.strategies.strategy import Strategy

FIRST, SECOND = "first-moment", "second-moment"

SecondMoment = Callable[[Array, Array], Array]
"""(v, d * d) -> v of the next round."""


def adaptive(settings: StrategySection, second_moment: SecondMoment) -> Strategy:
    """Averaging with an adaptive step for every element."""
    beta1, tau = settings.beta1, settings.tau

    def step(weights: Array, slots: Slots, mean: Array) -> tuple[Array, Slots]:
        m = blend(beta1, slots[FIRST], 1 - beta1, mean)
        v = second_moment(slots[SECOND], np.square(mean))
        direction = np.divide(m, np.sqrt(v) + tau)
        return blend(1.0, weights, settings.server_lr, direction), {FIRST: m, SECOND: v}

    return Averaging(step, {FIRST: 0.0, SECOND: tau * tau})
