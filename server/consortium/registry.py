"""DIR/registry.db: who belongs to the consortium. Any number of processes may use it at once.

Every method opens the file for itself, so that a registry can be shared by threads and outlive
whatever happens to a process. `changes()` grows with every change: who keeps something in memory
reads that number now and then, and all else only when it has grown.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from fedvox.common.errors import InputError, ResourceError
from fedvox.common.identity.names import Rank
from fedvox.server.consortium.schema import SCHEMA, VERSION

FILE = "registry.db"
_PATIENCE_S = 20.0


class SiteState(StrEnum):
    """Where a site stands."""

    INVITED = "invited"
    ACTIVE = "active"
    REVOKED = "revoked"


@dataclass(frozen=True)
class SiteEntry:
    """A site as the registry knows it."""

    name: str
    state: SiteState
    public_key: bytes | None
    """PEM; None until the site has joined."""
    invited_at: str
    joined_at: str | None
    revoked_at: str | None
    not_after: str | None
    """When its newest certificate ends."""


@dataclass(frozen=True)
class OperatorEntry:
    """An operator as the registry knows it."""

    name: str
    rank: Rank
    public_key: bytes
    since: str
    revoked_at: str | None


_SITE = """
    SELECT name, state, public_key, invited_at, joined_at, revoked_at,
        (SELECT max(not_after) FROM certificates
            WHERE role = 'site' AND certificates.name = sites.name AND revoked_at IS NULL)
    FROM sites
"""


class Registry:
    """The consortium's members, their certificates and invitations."""

    def __init__(self, home: Path) -> None:
        self.path = home / FILE

    def create(self) -> None:
        """Makes an empty registry; nothing where there is one."""
        with closing(self._connect("rwc")) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(SCHEMA)
        self.path.chmod(0o600)

    def sites(self) -> list[SiteEntry]:
        """All sites that were ever invited, by name."""
        with self.reading() as database:
            return [_site(row) for row in database.execute(f"{_SITE} ORDER BY name")]

    def site(self, name: str) -> SiteEntry | None:
        """A site, or None where that name was never invited."""
        with self.reading() as database:
            row = database.execute(f"{_SITE} WHERE name = ?", (name,)).fetchone()
        return _site(row) if row else None

    def node_key(self, name: str) -> bytes | None:
        """The public key (PEM) of an active site, which is its node's as well; else None."""
        entry = self.site(name)
        return entry.public_key if entry and entry.state is SiteState.ACTIVE else None

    def is_revoked(self, serial: str) -> bool:
        """Whether a certificate may no longer be used: revoked, or not one that was issued here."""
        with self.reading() as database:
            row = database.execute(
                "SELECT revoked_at FROM certificates WHERE serial = ?", (serial,)
            ).fetchone()
        return row is None or row[0] is not None

    def operators(self) -> list[OperatorEntry]:
        """All operators there ever were, by name."""
        with self.reading() as database:
            rows = database.execute(
                "SELECT name, rank, public_key, since, revoked_at FROM operators ORDER BY name"
            ).fetchall()
        return [OperatorEntry(row[0], Rank(row[1]), *row[2:]) for row in rows]

    def rank_of(self, operator: str) -> Rank | None:
        """What an operator may do now; None for nobody's name and for who was revoked."""
        found = [one for one in self.operators() if one.name == operator and not one.revoked_at]
        return found[0].rank if found else None

    def changes(self) -> int:
        """A number that grows with every change."""
        with self.reading() as database:
            return int(database.execute("SELECT changes FROM meta").fetchone()[0])

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The database, for looking only."""
        with self._told(), closing(self._connect("ro")) as database:
            yield database

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """The database, alone; what is done in the block is done whole or, on an error, not."""
        with self._told(), closing(self._connect("rw")) as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("UPDATE meta SET changes = changes + 1")
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise ResourceError(
                f"{self.path}: the registry cannot be used: {error}; look at the disk and at the "
                "rights of the folder"
            ) from error
        except sqlite3.DatabaseError as error:
            raise ResourceError(
                f"{self.path}: the registry is damaged: {error}; restore it from a backup"
            ) from error

    def _connect(self, mode: str) -> sqlite3.Connection:
        if mode != "rwc" and not self.path.exists():
            raise InputError(
                f"{self.path}: no consortium here; --home is the folder that `fedvox consortium "
                "init DIR` has made"
            )
        # A reader writes too where the database is a WAL: what it shares with the writers.
        how = "rw" if mode == "ro" else mode
        uri = f"{self.path.absolute().as_uri()}?mode={how}"
        database = sqlite3.connect(uri, uri=True, timeout=_PATIENCE_S, isolation_level=None)
        try:
            database.execute("PRAGMA synchronous = FULL")
            database.execute("PRAGMA foreign_keys = ON")
            if mode == "ro":
                database.execute("PRAGMA query_only = ON")
            if mode != "rwc":
                self._require_version(database)
        except BaseException:
            database.close()
            raise
        return database

    def _require_version(self, database: sqlite3.Connection) -> None:
        found = database.execute("PRAGMA user_version").fetchone()[0]
        if found != VERSION:
            raise InputError(
                f"{self.path}: a registry of version {found}; this release of fedvox reads "
                f"{VERSION}: use the release that made it, or a later one"
            )


def _site(row: tuple[str, str, bytes | None, str, str | None, str | None, str | None]) -> SiteEntry:
    return SiteEntry(row[0], SiteState(row[1]), *row[2:])
