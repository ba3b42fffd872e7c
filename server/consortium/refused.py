"""Refused enrolments are recorded, but whoever is outside cannot fill the record with them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from fedvox.common.identity.refusals import EnrolmentRefusal
from fedvox.server.consortium.authority import Recorder

MOST = 60
WINDOW_S = 3600.0


class RefusalRecord:
    """Records up to `MOST` refusals in each `WINDOW_S`, and counts those beyond."""

    def __init__(self, record: Recorder, clock: Callable[[], float] = time.monotonic) -> None:
        self._record = record
        self._clock = clock
        self._lock = threading.Lock()
        self._since = clock()
        self._seen = 0

    def note(self, refusal: EnrolmentRefusal, site: str = "") -> None:
        """Records a refusal; `site` is who was refused, where its certificate says so."""
        with self._lock:
            self._turn_over()
            self._seen += 1
            if self._seen <= MOST:
                self._record("enrolment-refused", {"code": str(refusal), "site": site})

    def _turn_over(self) -> None:
        now = self._clock()
        if now - self._since < WINDOW_S:
            return
        if self._seen > MOST:
            self._record("enrolments-refused", {"not_recorded_singly": self._seen - MOST})
        self._since, self._seen = now, 0
