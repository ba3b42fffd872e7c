"""What was spent under one heading: of one study, or of the data's whole life."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from typing import TYPE_CHECKING

from fedvox.common.privacy.charge import Charge

if TYPE_CHECKING:
    from fedvox.common.privacy.account import Account

_Steps = frozenset[tuple[float, float, int]]

_MEMO = 4096
_memo: dict[tuple[_Steps, float], float] = {}
"""Epsilons found, for all ledgers of a process: a study alone is the data's whole life so far, and
many sites of a simulation spend alike."""
_memo_lock = Lock()


class Spending:
    """Charges that count together. Their order does not matter, so steps that are alike add up."""

    def __init__(self) -> None:
        self.delta = 0.0
        """The last one it was charged at."""
        self.recorded = 0.0
        """Epsilon at that delta, as the row that charged last has it."""
        self._steps: dict[tuple[float, float], int] = {}
        self._account: Account | None = None  # made when something must be computed

    def add(self, charge: Charge) -> None:
        """Counts a charge."""
        key = (charge.sample_rate, charge.noise_multiplier)
        self._steps[key] = self._steps.get(key, 0) + charge.steps
        if self._account is not None:
            self._account.add(charge)

    def record(self, delta: float, epsilon: float) -> None:
        """Notes what the row that charged last says."""
        self.delta, self.recorded = delta, epsilon

    def charges(self) -> tuple[Charge, ...]:
        """Everything charged, in a fixed order."""
        return tuple(Charge(*key, steps) for key, steps in sorted(self._steps.items()))

    def epsilon(self, delta: float, more: Charge | None = None) -> float:
        """What is spent, or would be with one charge more."""
        key = (self._with(more), delta)
        if not key[0]:
            return 0.0
        with _memo_lock:
            known = _memo.get(key)
        if known is None:
            known = self._compute(delta, more)
            with _memo_lock:
                _memo[key] = known
                while len(_memo) > _MEMO:
                    del _memo[next(iter(_memo))]
        return known

    def with_those(self, others: Iterable[Spending]) -> Spending:
        """This and others as one: what was spent on the same patients elsewhere."""
        charges = [charge for other in others for charge in other.charges()]
        if not charges:
            return self
        whole = Spending()
        for charge in (*self.charges(), *charges):
            whole.add(charge)
        return whole

    def _with(self, more: Charge | None) -> _Steps:
        steps = self._steps
        if more is not None:
            key = (more.sample_rate, more.noise_multiplier)
            steps = {**steps, key: steps.get(key, 0) + more.steps}
        return frozenset((*key, count) for key, count in steps.items())

    def _compute(self, delta: float, more: Charge | None) -> float:
        if self._account is None:
            from fedvox.common.privacy.account import Account

            self._account = Account(self.charges())
        account = self._account
        return account.epsilon(delta) if more is None else account.epsilon_with(more, delta)
