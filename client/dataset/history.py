"""What was done with the versions of a dataset: who was given them, where copies are kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedvox.client.dataset import schema
from fedvox.client.dataset.versions import Version, now


class History:
    """The part of a manifest that says what its versions were used for."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection

    def record_use(self, number: int, study_sha256: str, study: str) -> None:
        """Remembers that a study was given a version."""
        with schema.disk(self._path):
            self._connection.execute(
                "INSERT OR IGNORE INTO uses VALUES (?, ?, ?, ?)",
                (number, study_sha256, study, now()),
            )

    def uses_of(self, keys: Sequence[str]) -> dict[str, str]:
        """Studies that were given a version with one of the cases: hash -> name."""
        return dict(self._of_keys("study_sha256, study FROM uses", keys))

    def versions_with(self, keys: Sequence[str]) -> list[Version]:
        """The versions that one of the cases is in."""
        return sorted({Version(*row) for row in self._of_keys("versions.* FROM versions", keys)})

    def _of_keys(self, what: str, keys: Sequence[str]) -> set[tuple[Any, ...]]:
        found: set[tuple[Any, ...]] = set()
        with schema.disk(self._path):
            for key in keys:
                query = f"SELECT {what} JOIN version_cases USING (number) WHERE key = ?"
                found |= set(self._connection.execute(query, (key,)).fetchall())
        return found

    def record_cache(self, folder: Path) -> None:
        """Remembers a folder outside the dataset in which prepared cases of it are kept."""
        with schema.disk(self._path):
            row = (str(folder.absolute()),)
            self._connection.execute("INSERT OR IGNORE INTO caches VALUES (?)", row)

    def caches(self) -> list[Path]:
        """Folders outside the dataset that may hold prepared cases of it."""
        with schema.disk(self._path):
            rows = self._connection.execute("SELECT folder FROM caches").fetchall()
        return [Path(folder) for (folder,) in rows]
