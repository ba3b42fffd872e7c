"""Work that need not be waited for at once: one thread does it, in order, while sites train on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock
from types import TracebackType
from typing import Self

_AHEAD = 4
"""Pieces of work that may be waiting: each holds a site's tensors."""


class Afterwards:
    """Call it with work; `settle` waits for all of it. Use it as a context manager."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "afterwards")
        self._pending: deque[Future[None]] = deque()
        self._lock = Lock()

    def __call__(self, work: Callable[[], None]) -> None:
        """Has the work done soon; waits only where too much is waiting already."""
        with self._lock:
            self._pending.append(self._pool.submit(work))
            first = self._pending[0] if len(self._pending) > _AHEAD else None
        if first is not None:
            wait([first])

    def settle(self) -> None:
        """Returns when everything begun so far is done; raises what went wrong in it."""
        while True:
            with self._lock:
                if not self._pending:
                    return
                first = self._pending.popleft()
            first.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown()
