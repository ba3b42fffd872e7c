"""What patients have spent: epsilon of a history of charges, for adding or removing one patient."""

from __future__ import annotations

import math
from collections.abc import Iterable
from operator import index

from fedvox.common.errors import InputError
from fedvox.common.privacy.charge import Charge
from fedvox.common.privacy.losses import SMALLEST_NOISE, Composition

SMALLEST_DELTA = 1e-10
"""Below this the sums of floating-point numbers no longer tell one delta from the next."""


class Account:
    """Charges added up over rounds, settings and studies. The order does not matter."""

    def __init__(self, charges: Iterable[Charge] = ()) -> None:
        self._steps: dict[tuple[float, float], int] = {}
        """(sample_rate, noise_multiplier) -> steps; what was charged last stands last."""
        self._unprotected = False
        self._known: dict[float, float] = {}
        self._composition = Composition()
        for charge in charges:
            self.add(charge)

    def add(self, charge: Charge) -> None:
        """Adds a charge; InputError where it makes no sense, and nothing is added then."""
        require_charge(charge)
        if costs_nothing(charge):
            return
        self._known.clear()
        if charge.noise_multiplier < SMALLEST_NOISE:
            self._unprotected = True
        else:
            self._steps = _added(self._steps, charge)

    def epsilon(self, delta: float) -> float:
        """What all charges together cost at `delta`: an upper bound, tight to about a thousandth.

        0 without a charge, infinity where steps were taken without noise.
        """
        require_delta(delta)
        if delta not in self._known:
            self._known[delta] = self._epsilon(self._steps, self._unprotected, delta)
        return self._known[delta]

    def epsilon_with(self, charge: Charge, delta: float) -> float:
        """What `epsilon` would be after `add(charge)`, which is not done."""
        require_charge(charge)
        if costs_nothing(charge):
            return self.epsilon(delta)
        require_delta(delta)
        bare = self._unprotected or charge.noise_multiplier < SMALLEST_NOISE
        return self._epsilon({} if bare else _added(self._steps, charge), bare, delta)

    def _epsilon(
        self, steps: dict[tuple[float, float], int], unprotected: bool, delta: float
    ) -> float:
        if unprotected:
            return math.inf
        if not steps:
            return 0.0
        charges = [Charge(rate, noise, count) for (rate, noise), count in steps.items()]
        return float(self._composition.losses(charges).get_epsilon_for_delta(delta))


def epsilon(history: Iterable[Charge], delta: float) -> float:
    """What a history of charges costs at `delta`."""
    return Account(history).epsilon(delta)


def costs_nothing(charge: Charge) -> bool:
    """Whether the charge takes no step, or none that looks at a patient."""
    return charge.steps == 0 or charge.sample_rate == 0


def require_charge(charge: Charge) -> None:
    """InputError unless the charge's figures can be charged."""
    if not 0 <= charge.sample_rate <= 1:
        raise InputError(f"sample_rate {charge.sample_rate}: a charge needs a rate from 0 to 1")
    if not (math.isfinite(charge.noise_multiplier) and charge.noise_multiplier >= 0):
        raise InputError(
            f"noise_multiplier {charge.noise_multiplier}: a charge needs a finite number, 0 or more"
        )
    try:
        negative = index(charge.steps) < 0
    except TypeError:
        negative = True
    if negative:
        raise InputError(f"steps {charge.steps}: a charge needs a whole number of steps, 0 or more")


def require_delta(delta: float) -> None:
    """InputError unless epsilon can be said at `delta`."""
    if not SMALLEST_DELTA <= delta < 1:
        raise InputError(
            f"delta {delta}: must lie from {SMALLEST_DELTA:g} to below 1; choose one below 1 over "
            "the number of patients"
        )


def _added(steps: dict[tuple[float, float], int], charge: Charge) -> dict[tuple[float, float], int]:
    key = (float(charge.sample_rate), float(charge.noise_multiplier))
    others = {other: count for other, count in steps.items() if other != key}
    return {**others, key: steps.get(key, 0) + index(charge.steps)}
