"""The manifest's file: an sqlite database in which what was deleted is overwritten.

On a disk of this machine: neither the write-ahead log nor the locks hold between machines.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedvox.common.errors import DataError, ResourceError

_APPLICATION = 0x66766431
_VERSION = 1
_BUSY_S = 60.0

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS cases (
    key TEXT PRIMARY KEY, image_sha256 TEXT NOT NULL, pseudonym TEXT NOT NULL,
    study TEXT NOT NULL, series TEXT NOT NULL, facts TEXT NOT NULL, bytes INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS cases_by_image ON cases (image_sha256);
CREATE INDEX IF NOT EXISTS cases_by_patient ON cases (pseudonym);
CREATE TABLE IF NOT EXISTS sources (
    mark TEXT PRIMARY KEY, label_mark TEXT NOT NULL, recipe TEXT NOT NULL,
    pseudonym TEXT NOT NULL, case_key TEXT, reason TEXT NOT NULL, sealed BLOB NOT NULL,
    time TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS sources_by_case ON sources (case_key);
CREATE TABLE IF NOT EXISTS instances (
    token BLOB NOT NULL, mark TEXT NOT NULL, PRIMARY KEY (token, mark)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS instances_by_mark ON instances (mark);
CREATE TABLE IF NOT EXISTS versions (
    number INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL, cases INTEGER NOT NULL,
    patients INTEGER NOT NULL, time TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS version_cases (
    number INTEGER NOT NULL, key TEXT NOT NULL, PRIMARY KEY (number, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uses (
    number INTEGER NOT NULL, study_sha256 TEXT NOT NULL, study TEXT NOT NULL, time TEXT NOT NULL,
    PRIMARY KEY (number, study_sha256)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS caches (folder TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS versions_never_change BEFORE UPDATE ON versions
BEGIN SELECT RAISE(ABORT, 'a version never changes'); END;
CREATE TRIGGER IF NOT EXISTS versions_never_go BEFORE DELETE ON versions
BEGIN SELECT RAISE(ABORT, 'a version never goes'); END;
CREATE TRIGGER IF NOT EXISTS members_never_go BEFORE DELETE ON version_cases
BEGIN SELECT RAISE(ABORT, 'a version never changes'); END;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_VERSION};
"""

_UNWILLING = (
    "SQLITE_BUSY", "SQLITE_CANTOPEN", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_LOCKED",
    "SQLITE_NOMEM", "SQLITE_PERM", "SQLITE_READONLY",
)  # fmt: skip
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_FORMAT", "SQLITE_NOTADB")


def connect(path: Path) -> sqlite3.Connection:
    """The manifest opened for writing; made where there is none."""
    with disk(path):
        if not path.exists():
            # Before sqlite does: what it puts beside the file gets the file's permissions.
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        try:
            with _alone(path.parent):
                _make_ready(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Turns are taken, since sqlite does not wait for whoever begins a write-ahead log."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _make_ready(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    mark = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if (mark, version) == (_APPLICATION, _VERSION):
        return
    if (mark, version) != (0, 0):
        raise DataError(
            f"{path}: no manifest of this release (format {version}, not {_VERSION}); "
            "use the release that made it, or ingest into a new dataset"
        )
    # In one transaction: cut off in the middle, the next process finds an empty file again.
    connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing; nobody else writes meanwhile."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Tells a disk that will not (ResourceError) from a file that is damaged (DataError)."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(_UNWILLING):
            raise ResourceError(_told(path, str(error))) from error
        if name.startswith(_DAMAGED):
            raise DataError(f"{path}: damaged: {error}; restore it from a backup") from error
        raise
    except OSError as error:
        raise ResourceError(_told(path, error.strerror or str(error))) from error


def _told(path: Path, why: str) -> str:
    return (
        f"{path}: cannot be used: {why}. Every case that was imported before is intact; free "
        "space, or mend the folder's permissions, and run the same command again"
    )
