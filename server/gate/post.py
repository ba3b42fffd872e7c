"""What lies ready: requests for sites and answers for conductors, and how they are waited for.

Looked up in Flower's tables: a message counts only once all of its objects have been uploaded, so
that nobody begins to fetch what a slow sender has not sent yet.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")

_WHOLE = """
    NOT EXISTS (
        SELECT 1 FROM object_push_session_roots AS root
        JOIN object_push_sessions AS session ON session.session_id = root.session_id
        WHERE root.root_object_id = message.message_id AND session.pending_count > 0
    )
"""
_REQUEST = f"""
    SELECT 1 FROM message_ins AS message
    WHERE dst_node_id = ? AND delivered_at = '' AND {_WHOLE} LIMIT 1
"""
_ANSWERS = f"""
    SELECT reply_to_message_id FROM message_res AS message
    WHERE run_id = ? AND delivered_at = '' AND {_WHOLE}
        AND reply_to_message_id IN (SELECT value FROM json_each(?))
    ORDER BY created_at
"""


def signed(number: int) -> int:
    """A number as Flower keeps it: SQLite has no unsigned ones."""
    return number - (1 << 64) if number >= 1 << 63 else number


class Post:
    """Looks for what lies ready, and wakes who waits for it. For the event loop's thread."""

    def __init__(self, database: Path) -> None:
        self._database = sqlite3.connect(
            f"file:{database}?mode=ro", uri=True, timeout=1.0, isolation_level=None
        )
        self._database.execute("PRAGMA cache_size = -1024")
        self._stirred = asyncio.Event()

    def stir(self) -> None:
        """Something was put in: everybody looks again."""
        self._stirred.set()
        self._stirred = asyncio.Event()

    def has_request(self, node: int) -> bool:
        """Whether a request waits for a node."""
        return self._database.execute(_REQUEST, (signed(node),)).fetchone() is not None

    def answered(self, run: int, messages: Sequence[str]) -> list[str]:
        """Which of a run's requests have been answered, the oldest answer first."""
        rows = self._database.execute(_ANSWERS, (signed(run), json.dumps(list(messages))))
        return [str(row[0]) for row in rows]

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

    def close(self) -> None:
        """Lets go of the file."""
        self._database.close()
