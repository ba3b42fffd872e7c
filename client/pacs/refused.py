"""Who was turned away, in HOME/pacs/refused.sqlite: counted by peer, so that it stays small.

How many were, and why, stands in the site's audit log as well (refused_trail.py).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from fedvox.client.pacs.refused_trail import RefusedTrail
from fedvox.client.policy.recording import Recorder, site_recorder
from fedvox.common.files import writing
from fedvox.common.identity.secret_files import make_private_folder

_ROWS_AT_MOST, _TRIM_EVERY = 1000, 100
_TOLD_AT_MOST = 100
_SCHEMA = """CREATE TABLE IF NOT EXISTS refused (
    why TEXT NOT NULL, address TEXT NOT NULL, title TEXT NOT NULL, count INTEGER NOT NULL,
    last TEXT NOT NULL, PRIMARY KEY (why, address, title)) WITHOUT ROWID"""
_COUNT = """INSERT INTO refused VALUES (?, ?, ?, 1, ?)
    ON CONFLICT DO UPDATE SET count = count + 1, last = excluded.last RETURNING count"""
_TRIM = """DELETE FROM refused WHERE (why, address, title) NOT IN
    (SELECT why, address, title FROM refused ORDER BY last DESC LIMIT ?)"""


class Why(StrEnum):
    """Why an association, or an object, was turned away."""

    CALLING = "calling-ae"
    CALLED = "called-ae"
    TOO_MANY = "too-many"
    TLS = "tls"

    @property
    def remedy(self) -> str:
        """What a person at the site can do about it."""
        return _REMEDIES[self]


_REMEDIES = {
    Why.CALLING: "not on the list; if it is to send, add it with --allow",
    Why.CALLED: "it calls us by another name; correct that there, or give --ae-title",
    Why.TOO_MANY: "too many connections at the same time; see --associations",
    Why.TLS: "no TLS, or no certificate that --tls-ca vouches for",
}


@dataclass(frozen=True)
class Refused:
    """A peer that was turned away."""

    why: str
    address: str
    title: str
    """As the peer called itself: a claim, not a fact."""
    count: int
    last: str


class RefusedLog:
    """The record; any thread may add to it."""

    def __init__(
        self,
        home: Path,
        say: Callable[[str], None] = lambda text: None,
        record: Recorder | None = None,
    ) -> None:
        """`say` is told of each peer once; `record` is the site's audit log by default."""
        self._trail = RefusedTrail(record or site_recorder(home))
        self._say = say
        self._told = 0
        path = home / "pacs" / "refused.sqlite"
        self._lock = threading.Lock()
        with writing(path):
            make_private_folder(path.parent)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            # Without a sync for each: whoever is turned away again and again costs next to nothing.
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute(_SCHEMA)
        self.count = 0
        """Of this process."""

    def add(self, why: Why, address: str, title: str = "") -> None:
        """Counts a refusal; a disk that is full does not keep it from being one."""
        shown = "".join(c if " " <= c <= "~" else "?" for c in title)[:16]
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._lock:
            self.count += 1
            self._trail.note(why.value)
            try:
                row = self._connection.execute(_COUNT, (why.value, address, shown, now)).fetchone()
                if self.count % _TRIM_EVERY == 0:
                    self._connection.execute(_TRIM, (_ROWS_AT_MOST,))
            except sqlite3.Error:
                return
            if row[0] == 1 and self._told < _TOLD_AT_MOST:
                self._told += 1
                self._say(f"turned away: {shown or 'somebody'} at {address}: {why.remedy}")

    def all(self) -> list[Refused]:
        """Everybody who was, the latest first."""
        with self._lock:
            rows = self._connection.execute("SELECT * FROM refused ORDER BY last DESC").fetchall()
        return [Refused(*row) for row in rows]

    def close(self) -> None:
        """Lets go of the file."""
        with self._lock:
            self._trail.close()
            self._connection.close()
