"""Refusals in the site's signed audit log: how many and why, never who, and never often.

Whoever may connect could else fill the log. The first refusal of a kind is entered at once, those
that follow together and seldom, and what is left when the listener ends.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

from fedvox.client.policy.recording import Recorder
from fedvox.common.errors import FedvoxError

log = logging.getLogger(__name__)

_PAUSE_S = 600.0
KIND = "pacs-refused"


class RefusedTrail:
    """Counts refusals until it is time to enter them. For one thread at a time."""

    def __init__(
        self,
        record: Recorder,
        pause_s: float = _PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._record = record
        self._pause_s = pause_s
        self._clock = clock
        self._waiting: Counter[str] = Counter()
        self._due: dict[str, float] = {}

    def note(self, why: str) -> None:
        """Somebody was turned away."""
        self._waiting[why] += 1
        if self._clock() >= self._due.get(why, 0.0):
            self._enter(why)

    def close(self) -> None:
        """Enters what was not entered yet."""
        for why in sorted(self._waiting):
            self._enter(why)

    def _enter(self, why: str) -> None:
        self._due[why] = self._clock() + self._pause_s
        try:
            self._record(KIND, {"why": why, "count": self._waiting[why]})
        except (FedvoxError, OSError) as error:  # counted on; the peer stays refused
            log.warning("audit log: %s", error)
        else:
            del self._waiting[why]
