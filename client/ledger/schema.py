"""The ledger's file: an sqlite database with one table that can only grow.

On a disk of this machine: neither the write-ahead log nor the locks hold between machines.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from fedvox.client.ledger.entry import COLUMNS, link_of, row_of
from fedvox.common.chain import Link, genesis
from fedvox.common.errors import Refusal, ResourceError, SiteError

START = genesis("ledger")
VERSION = 1
_APPLICATION = 0x66766C31
"""Marks the file as ours, and not as some other program's database."""

_INTEGERS = ("round", "reservation", "steps", "honest_sites")
_TEXTS = (
    "time", "kind", "study", "study_sha256", "purpose", "weights_sha256", "payload_sha256",
    "decision", "reason", "origin", "previous", "hash",
)  # fmt: skip


def _column(name: str) -> str:
    if name == "sequence":
        return "sequence INTEGER PRIMARY KEY"
    kind = "INTEGER" if name in _INTEGERS else "TEXT" if name in _TEXTS else "REAL"
    return f"{name} {kind}" if name.endswith("_cap") else f"{name} {kind} NOT NULL"


# The third one also keeps INSERT OR REPLACE from taking a row's place.
_SCHEMA = f"""
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {VERSION};
CREATE TABLE entries ({", ".join(map(_column, COLUMNS))});
CREATE TRIGGER entries_never_change BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'rows of a ledger never change'); END;
CREATE TRIGGER entries_never_go BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'rows of a ledger never go'); END;
CREATE TRIGGER entries_only_follow BEFORE INSERT ON entries
WHEN NEW.sequence IS NOT (SELECT coalesce(max(sequence), 0) + 1 FROM entries)
BEGIN SELECT RAISE(ABORT, 'rows of a ledger are added at its end'); END;
"""
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM entries WHERE sequence >= ? ORDER BY sequence"
_INSERT = f"INSERT INTO entries ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
_BUSY_S = 60.0


def blank(first: Link) -> bytes:
    """The content of a ledger that holds one row."""
    with closing(sqlite3.connect(":memory:")) as memory:
        memory.executescript(_SCHEMA)
        insert(memory, first)
        memory.commit()
        content = bytearray(memory.serialize())
    # Bytes 18 and 19 of the file format: read and written with a write-ahead log from the start.
    content[18:20] = b"\2\2"
    return bytes(content)


def connect(path: Path) -> sqlite3.Connection:
    """The ledger opened for appending; it must exist."""
    with disk(path):
        connection = sqlite3.connect(
            _uri(path, "mode=rw"),
            uri=True,
            timeout=_BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
        # FULL: with a write-ahead log every commit is on the disk before it is reported, by one
        # sync; a rollback journal takes four.
        connection.execute("PRAGMA synchronous = FULL")
        _require_ours(connection, path)
    return connection


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """The ledger opened for looking at, also where nothing may be written beside it."""
    # A log that nobody left behind is one that nobody is writing.
    options = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "mode=ro&immutable=1"
    with disk(path), closing(sqlite3.connect(_uri(path, options), uri=True)) as connection:
        _require_ours(connection, path)
        yield connection


def _uri(path: Path, options: str) -> str:
    return f"file:{quote(str(path.absolute()))}?{options}"


def _require_ours(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if (application, version) != (_APPLICATION, VERSION):
        text = f"{path}: no ledger of this release (format {version}, not {VERSION})"
        raise SiteError(Refusal.INTERNAL, text)


def links_from(connection: sqlite3.Connection, sequence: int) -> Iterator[Link]:
    """The rows from a number on."""
    return map(link_of, connection.execute(_SELECT, (sequence,)))


def last_link(connection: sqlite3.Connection) -> Link | None:
    """The last row."""
    (last,) = connection.execute("SELECT max(sequence) FROM entries").fetchone()
    return next(links_from(connection, last), None) if last is not None else None


def insert(connection: sqlite3.Connection, link: Link) -> None:
    """Adds a row to the open transaction."""
    connection.execute(_INSERT, row_of(link))


_UNWILLING = (
    "SQLITE_BUSY", "SQLITE_CANTOPEN", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_LOCKED",
    "SQLITE_NOMEM", "SQLITE_PERM", "SQLITE_READONLY",
)  # fmt: skip


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Tells a disk that will not (ResourceError) from a file that is damaged (SiteError)."""
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", "").startswith(_UNWILLING):
            raise ResourceError(_told(path, str(error))) from error
        text = f"{path}: damaged: {error}; restore it from a backup"
        raise SiteError(Refusal.INTERNAL, text) from error
    except OSError as error:
        raise ResourceError(_told(path, error.strerror or str(error))) from error


def _told(path: Path, why: str) -> str:
    return (
        f"{path}: the ledger cannot be used: {why}. What it records already stands; free space, or "
        "mend the folder's permissions, and ask again"
    )
