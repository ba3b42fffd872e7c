"""What a dataset holds, kept in one database: each method is one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from fedvox.client.dataset import schema
from fedvox.client.dataset.case import Case, Facts
from fedvox.client.dataset.history import History
from fedvox.client.dataset.versions import Version, fingerprint_of, now

_CASE = "key, pseudonym, study, series, image_sha256, facts, bytes"
_KNOWN = "SELECT label_mark, recipe, case_key, reason FROM sources WHERE mark = ?"


@dataclass(frozen=True)
class SourceOf:
    """Where a case comes from, in tokens that only the site's key can make."""

    mark: str
    """Stands for the content of the files."""
    label_mark: str
    """Stands for the content of the label; empty: none."""
    recipe: str
    """Stands for the settings of the import."""
    pseudonym: str
    instances: tuple[bytes, ...] = field(default=(), repr=False)
    """Stand for the images the files hold: another file with one of them replaces this one."""
    places: tuple[bytes, ...] = field(default=(), repr=False)
    """Stand for the files: what was set aside and lay there is settled."""


@dataclass(frozen=True)
class Known:
    """What became of a source before."""

    label_mark: str
    recipe: str
    case_key: str
    """Empty: it was set aside."""
    reason: str


@dataclass(frozen=True)
class Aside:
    """A source that was set aside."""

    mark: str
    reason: str
    pseudonym: str
    sealed: bytes = field(repr=False)
    """The detail, which only the site's key opens."""
    time: str


class Manifest:
    """The database of one dataset, for one thread. Any number of processes may have it open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = schema.connect(path)

    def known(self, mark: str) -> Known | None:
        """What became of a source; None where it is new."""
        with schema.disk(self._path):
            row = self._connection.execute(_KNOWN, (mark,)).fetchone()
        return None if row is None else Known(row[0], row[1], row[2] or "", row[3])

    def add(self, case: Case, source: SourceOf, present: frozenset[str]) -> str:
        """Records a case whose file is in place; answers a reason where it may not be used.

        `present` are the marks of all sources of this import: what holds the same images as the
        new case, and is not there any more, was replaced by it.
        """
        with schema.disk(self._path), schema.transaction(self._connection):
            self._replace(source, present)
            if self._twin(case, source.mark):
                return "duplicate"
            self._connection.execute(
                f"INSERT OR IGNORE INTO cases ({_CASE}) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    case.key,
                    case.patient,
                    case.study,
                    case.series,
                    case.image_sha256,
                    case.facts.as_text(),
                    case.bytes,
                ),
            )
            self._put_source(source, case.key, "", b"")
        return ""

    def set_aside(self, *items: tuple[SourceOf, str, bytes]) -> None:
        """Records why sources gave no case: reason, and sealed details. A case that one gave
        before is no longer used."""
        with schema.disk(self._path), schema.transaction(self._connection):
            for source, reason, sealed in items:
                self._put_source(source, None, reason, sealed)
                self._tie(source.mark, source.places)

    def _replace(self, source: SourceOf, present: frozenset[str]) -> None:
        old: set[str] = set()
        any_mark = "SELECT mark FROM instances WHERE token = ?"
        aside_mark = f"{any_mark} AND mark IN (SELECT mark FROM sources WHERE case_key IS NULL)"
        for query, tokens in ((any_mark, source.instances), (aside_mark, source.places)):
            for token in tokens:
                old |= {mark for (mark,) in self._connection.execute(query, (token,))}
        for mark in old - present - {source.mark}:
            self._connection.execute("DELETE FROM sources WHERE mark = ?", (mark,))
            self._connection.execute("DELETE FROM instances WHERE mark = ?", (mark,))

    def _twin(self, case: Case, mark: str) -> bool:
        """Whether another source gives the same image."""
        query = (
            "SELECT 1 FROM sources JOIN cases ON cases.key = sources.case_key "
            "WHERE cases.image_sha256 = ? AND sources.mark <> ?"
        )
        return self._connection.execute(query, (case.image_sha256, mark)).fetchone() is not None

    def _put_source(
        self, source: SourceOf, case_key: str | None, reason: str, sealed: bytes
    ) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                source.mark,
                source.label_mark,
                source.recipe,
                source.pseudonym,
                case_key,
                reason,
                sealed,
                now(),
            ),
        )
        self._tie(source.mark, source.instances)

    def _tie(self, mark: str, tokens: tuple[bytes, ...]) -> None:
        self._connection.executemany(
            "INSERT OR IGNORE INTO instances VALUES (?, ?)", [(token, mark) for token in tokens]
        )

    def form_version(self) -> Version | None:
        """Makes what is held now the newest version; None where nothing was ever held."""
        with schema.disk(self._path), schema.transaction(self._connection):
            query = (
                "SELECT key, pseudonym FROM cases "
                "WHERE key IN (SELECT case_key FROM sources WHERE case_key IS NOT NULL)"
            )
            members = self._connection.execute(query).fetchall()
            last = self._newest()
            fingerprint = fingerprint_of(members)
            if last is not None and last.fingerprint == fingerprint:
                return last
            if last is None and not members:
                return None
            patients = len({pseudonym for _, pseudonym in members})
            number = last.number + 1 if last else 1
            version = Version(number, fingerprint, len(members), patients, now())
            self._connection.execute(
                "INSERT INTO versions VALUES (?, ?, ?, ?, ?)",
                (number, fingerprint, version.cases, patients, version.time),
            )
            self._connection.executemany(
                "INSERT INTO version_cases VALUES (?, ?)", [(number, key) for key, _ in members]
            )
        return version

    def version(self) -> Version | None:
        """The newest version; None before the first."""
        with schema.disk(self._path):
            return self._newest()

    def versions(self) -> list[Version]:
        """Every version, the first one first."""
        with schema.disk(self._path):
            rows = self._connection.execute("SELECT * FROM versions ORDER BY number").fetchall()
        return [Version(*row) for row in rows]

    def _newest(self) -> Version | None:
        query = "SELECT * FROM versions ORDER BY number DESC LIMIT 1"
        row = self._connection.execute(query).fetchone()
        return None if row is None else Version(*row)

    def cases(self, number: int) -> list[Case]:
        """The cases of a version that are still held, by key."""
        query = (
            f"SELECT {_CASE} FROM cases WHERE key IN "
            "(SELECT key FROM version_cases WHERE number = ?) ORDER BY key"
        )
        with schema.disk(self._path):
            return [_case(row) for row in self._connection.execute(query, (number,))]

    def cases_of(self, pseudonym: str) -> list[Case]:
        """Every case of a patient, of whatever version."""
        query = f"SELECT {_CASE} FROM cases WHERE pseudonym = ? ORDER BY key"
        with schema.disk(self._path):
            return [_case(row) for row in self._connection.execute(query, (pseudonym,))]

    def knows(self, pseudonym: str) -> bool:
        """Whether anything here is of the patient, also what was set aside."""
        query = (
            "SELECT 1 FROM cases WHERE pseudonym = :who "
            "UNION SELECT 1 FROM sources WHERE pseudonym = :who"
        )
        with schema.disk(self._path):
            return self._connection.execute(query, {"who": pseudonym}).fetchone() is not None

    def aside(self) -> list[Aside]:
        """What is set aside, by reason."""
        query = (
            "SELECT mark, reason, pseudonym, sealed, time FROM sources WHERE case_key IS NULL "
            "ORDER BY reason, mark"
        )
        with schema.disk(self._path):
            return [Aside(*row) for row in self._connection.execute(query)]

    def referred(self) -> set[str]:
        """Keys that anything refers to: of any version, or imported and not yet in one."""
        query = (
            "SELECT key FROM cases WHERE key IN (SELECT key FROM version_cases) "
            "UNION SELECT case_key FROM sources WHERE case_key IS NOT NULL"
        )
        with schema.disk(self._path):
            return {key for (key,) in self._connection.execute(query)}

    def drop_unreferred(self) -> None:
        """Forgets cases that no version and no source has any more."""
        query = (
            "DELETE FROM cases WHERE key NOT IN (SELECT key FROM version_cases) "
            "AND key NOT IN (SELECT case_key FROM sources WHERE case_key IS NOT NULL)"
        )
        with schema.disk(self._path), schema.transaction(self._connection):
            self._connection.execute(query)

    def forget(self, pseudonym: str) -> None:
        """Forgets a patient's cases and sources; versions keep only the cases' hashes."""
        with schema.disk(self._path), schema.transaction(self._connection):
            run = self._connection.execute
            marks = run("SELECT mark FROM sources WHERE pseudonym = ?", (pseudonym,)).fetchall()
            self._connection.executemany("DELETE FROM instances WHERE mark = ?", marks)
            run("DELETE FROM sources WHERE pseudonym = ?", (pseudonym,))
            run("DELETE FROM cases WHERE pseudonym = ?", (pseudonym,))

    def settle(self) -> None:
        """Writes the log back, so that nothing of what was deleted stands in it."""
        with schema.disk(self._path):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @property
    def history(self) -> History:
        """What was done with the versions."""
        return History(self._path, self._connection)

    def close(self) -> None:
        """Lets go of the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _case(row: tuple[str, str, str, str, str, str, int]) -> Case:
    key, pseudonym, study, series, image, facts, size = row
    return Case(key, image, pseudonym, study, series, Facts.of(facts), size)
