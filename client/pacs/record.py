"""What was found in archives and what became of it, in HOME/pacs/pull.sqlite.

Series are named by tokens; what is needed to ask for them again is sealed with the site's key.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from fedvox.client.deid.sitekey import SiteKey
from fedvox.client.pacs.query import Series
from fedvox.client.pacs.reasons import Reason
from fedvox.common.errors import ResourceError
from fedvox.common.identity.secret_files import make_private_folder

_SCHEMA = """CREATE TABLE IF NOT EXISTS series (
    dataset TEXT NOT NULL, study TEXT NOT NULL, series TEXT NOT NULL, state TEXT NOT NULL,
    reason TEXT NOT NULL, objects INTEGER NOT NULL, tries INTEGER NOT NULL, sealed BLOB NOT NULL,
    time TEXT NOT NULL, PRIMARY KEY (dataset, series)) WITHOUT ROWID"""
_FIND = """INSERT INTO series VALUES (?, ?, ?, 'found', '', 0, 0, ?, ?)
    ON CONFLICT DO UPDATE SET sealed = excluded.sealed"""
_BUSY_S = 30.0


class State(StrEnum):
    """How far a series has come."""

    FOUND = "found"
    FETCHED = "fetched"
    """All of it is in the spool."""
    INGESTED = "ingested"
    FAILED = "failed"


class Record:
    """The record of one dataset, for one thread."""

    def __init__(self, home: Path, dataset: str) -> None:
        self._dataset = dataset
        self._key = SiteKey.of(home)
        self._path = home / "pacs" / "pull.sqlite"
        with self._disk():
            make_private_folder(self._path.parent)
            os.close(os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            self._connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute(_SCHEMA)

    def found(self, study: str, series: str, what: Series) -> State:
        """Enters a series, under its tokens; the state that it is in."""
        told = json.dumps([what.study_uid, what.uid, what.objects])
        with self._disk():
            values = (self._dataset, study, series, self._key.seal(told), _now())
            self._connection.execute(_FIND, values)
            row = self._connection.execute(
                "SELECT state FROM series WHERE dataset = ? AND series = ?", values[:3:2]
            ).fetchone()
        return State(row[0])

    def fetched(self, series: str, objects: int) -> None:
        """All of it is in the spool."""
        self._set(series, State.FETCHED, "", objects)

    def failed(self, series: str, reason: Reason) -> None:
        """It could not be fetched."""
        self._set(series, State.FAILED, reason.value, 0)

    def _set(self, series: str, state: State, reason: str, objects: int) -> None:
        with self._disk():
            self._connection.execute(
                "UPDATE series SET state = ?, reason = ?, objects = ?, tries = tries + 1, time = ? "
                "WHERE dataset = ? AND series = ?",
                (state.value, reason, objects, _now(), self._dataset, series),
            )

    def ingested(self, studies: Iterable[str]) -> None:
        """What was fetched of these studies is in the dataset, or set aside there."""
        with self._disk():
            self._connection.executemany(
                "UPDATE series SET state = 'ingested', time = ? "
                "WHERE dataset = ? AND study = ? AND state = 'fetched'",
                [(_now(), self._dataset, study) for study in studies],
            )

    def is_fetched(self, series: str) -> bool:
        """Whether all of a series that lies in the spool has come."""
        with self._disk():
            row = self._connection.execute(
                "SELECT state FROM series WHERE dataset = ? AND series = ?",
                (self._dataset, series),
            ).fetchone()
        return row is not None and row[0] == State.FETCHED

    def studies_fetched(self) -> list[str]:
        """Studies of which something was fetched and not yet ingested."""
        with self._disk():
            rows = self._connection.execute(
                "SELECT DISTINCT study FROM series WHERE dataset = ? AND state = 'fetched'",
                (self._dataset,),
            ).fetchall()
        return [study for (study,) in rows]

    def missing(self) -> list[Series]:
        """What was found before and not fetched, study by study."""
        with self._disk():
            rows = self._connection.execute(
                "SELECT sealed FROM series WHERE dataset = ? AND state IN ('found', 'failed') "
                "ORDER BY study, series",
                (self._dataset,),
            ).fetchall()
        return [Series(*json.loads(self._key.unseal(sealed))) for (sealed,) in rows]

    def states(self) -> Counter[str]:
        """How many series are in each state."""
        return self._counted("state")

    def reasons(self) -> Counter[str]:
        """Why series that failed did."""
        counted = self._counted("reason")
        del counted[""]
        return counted

    def _counted(self, column: str) -> Counter[str]:
        query = f"SELECT {column}, count(*) FROM series WHERE dataset = ? GROUP BY {column}"
        with self._disk():
            return Counter(dict(self._connection.execute(query, (self._dataset,)).fetchall()))

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise ResourceError(
                f"{self._path}: cannot be used: {error}; free space or mend the folder's "
                "permissions, and run the same command again: it goes on from there"
            ) from error

    def close(self) -> None:
        """Lets go of the file."""
        self._connection.close()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
