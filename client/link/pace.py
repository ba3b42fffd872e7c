"""How long to wait before something is tried again."""

from __future__ import annotations

import random


class Pace:
    """Waits that double, each shortened at random so that sites do not come back all at once."""

    def __init__(self, first_s: float, most_s: float, rng: random.Random | None = None) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._next_s = first_s
        self._rng = rng or random.Random()

    def next_s(self) -> float:
        """How long to wait now."""
        wait_s = self._next_s * self._rng.uniform(0.5, 1.0)
        self._next_s = min(self._next_s * 2, self._most_s)
        return wait_s

    def reset(self) -> None:
        """It has worked: the next wait is the first one again."""
        self._next_s = self._first_s
