"""Whose turn it is: one piece of work at a time, the others wait or are sent away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fedvox.client.trainer.bench import Cancelled
from fedvox.common.errors import Refusal, SiteError

_LOOK_S = 0.2


@dataclass(frozen=True)
class Job:
    """A piece of work, for those who ask what is going on."""

    study: str
    study_sha256: str
    kind: str
    round: int


class Turn:
    """Hands the turn from one request to the next."""

    def __init__(self, most_waiting: int, changed: Callable[[], None]) -> None:
        """`changed` is called when a piece of work begins and when it ends."""
        self._most_waiting = most_waiting
        self._changed = changed
        self._lock = threading.Lock()
        self._count = threading.Lock()
        self._cancelled = threading.Event()
        self._begun = 0.0
        self.waiting = 0
        self.job: Job | None = None

    @contextmanager
    def taken(self, job: Job, wanted: Callable[[], bool]) -> Iterator[None]:
        """The block runs when nobody else's does; SiteError BUSY where too many wait already."""
        self._wait(wanted)
        try:
            self._cancelled.clear()
            self._begun = time.monotonic()
            self.job = job
            self._changed()
            yield
        finally:
            self.job = None
            self._lock.release()
            self._changed()

    def cancel(self, study_sha256: str) -> bool:
        """Ends the work in hand where it is for this study; whether it is."""
        job = self.job
        if job is None or job.study_sha256 != study_sha256:
            return False
        self._cancelled.set()
        return True

    def go_on(self) -> None:
        """Raises Cancelled where the work in hand was cancelled."""
        if self._cancelled.is_set():
            raise Cancelled

    @property
    def busy_s(self) -> float:
        """Seconds since the work in hand was begun."""
        return time.monotonic() - self._begun if self.job is not None else 0.0

    def _wait(self, wanted: Callable[[], bool]) -> None:
        with self._count:
            if self.waiting >= self._most_waiting and self._lock.locked():
                raise SiteError(Refusal.BUSY, f"{self.waiting} requests wait already")
            self.waiting += 1
        try:
            while not self._lock.acquire(timeout=_LOOK_S):
                if not wanted():
                    raise SiteError(Refusal.BUSY, "whoever asked has gone")
        finally:
            with self._count:
                self.waiting -= 1
