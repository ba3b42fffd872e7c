"""FedYogi (Reddi et al. 2021): v moves by at most (1 - beta2) * d^2, towards d^2.

v = v - (1 - beta2) * d^2 * sign(v - d^2)
"""

from __future__ import annotations

import numpy as np

from fedvox.common.arrays import Array
from fedvox.common.study.sections import StrategySection
from fedvox.server.strategies.adaptive import adaptive
from fedvox.server.strategies.averaging import blend
from fedvox.server.strategies.strategy import Strategy


def fedyogi(settings: StrategySection) -> Strategy:
    """Adaptive steps from a second moment that changes in an additive way."""
    beta2 = settings.beta2

    def second_moment(v: Array, square: Array) -> Array:
        towards = np.multiply(square, np.sign(np.subtract(v, square)))
        return blend(1.0, v, beta2 - 1, towards)

    return adaptive(settings, second_moment)
