"""Who was turned away, in HOME/pacs/refused.sqlite: counted by peer, so that it stays small."""

from __future__ import annotations

import os
import sqlite3
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from fedvox.common.files import writing
from fedvox.common.identity.secret_files import make_private_folder

_ROWS_AT_MOST = 1000
_SCHEMA = """CREATE TABLE IF NOT EXISTS refused (
    why TEXT NOT NULL, address TEXT NOT NULL, title TEXT NOT NULL, count INTEGER NOT NULL,
    last TEXT NOT NULL, PRIMARY KEY (why, address, title)) WITHOUT ROWID"""
_COUNT = """INSERT INTO refused VALUES (?, ?, ?, 1, ?)
    ON CONFLICT DO UPDATE SET count = count + 1, last = excluded.last"""
_TRIM = """DELETE FROM refused WHERE (why, address, title) NOT IN
    (SELECT why, address, title FROM refused ORDER BY last DESC LIMIT ?)"""


class Why(StrEnum):
    """Why an association, or an object, was turned away."""

    CALLING = "calling-ae"
    CALLED = "called-ae"
    TOO_MANY = "too-many"
    TLS = "tls"


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

    def __init__(self, home: Path) -> None:
        path = home / "pacs" / "refused.sqlite"
        self._lock = threading.Lock()
        with writing(path):
            make_private_folder(path.parent)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._connection.execute(_SCHEMA)
        self.count = 0
        """Of this process."""

    def add(self, why: Why, address: str, title: str = "") -> None:
        """Counts a refusal; a disk that is full does not keep it from being one."""
        shown = "".join(c if " " <= c <= "~" else "?" for c in title)[:16]
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._lock:
            self.count += 1
            try:
                self._connection.execute(_COUNT, (why.value, address, shown, now))
                self._connection.execute(_TRIM, (_ROWS_AT_MOST,))
            except sqlite3.Error:
                return

    def all(self) -> list[Refused]:
        """Everybody who was, the latest first."""
        with self._lock:
            rows = self._connection.execute("SELECT * FROM refused ORDER BY last DESC").fetchall()
        return [Refused(*row) for row in rows]

    def close(self) -> None:
        """Lets go of the file."""
        with self._lock:
            self._connection.close()
