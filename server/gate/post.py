"""Waiting for what is not there yet: a request for a site, an answer for a conductor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


class Post:
    """Wakes who waits whenever something was put in. For the event loop's thread."""

    def __init__(self) -> None:
        self._stirred = asyncio.Event()

    def stir(self) -> None:
        """Something was put in: everybody looks again."""
        self._stirred.set()
        self._stirred = asyncio.Event()

    async def wait_for(self, look: Callable[[], Found], seconds: float) -> Found:
        """What `look` finds, at the latest after so many seconds."""
        end = time.monotonic() + seconds
        while True:
            stirred = self._stirred
            found = look()
            left = end - time.monotonic()
            if found or left <= 0:
                return found
            try:
                await asyncio.wait_for(stirred.wait(), left)
            except TimeoutError:
                return look()
