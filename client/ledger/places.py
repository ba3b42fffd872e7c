"""Where a site's ledgers are on disk.

HOME/ledger/DATASET/VERSION.sqlite      the rows
HOME/ledger/DATASET/VERSION.anchor      how many, and the last hash
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedvox.client.ledger import schema
from fedvox.client.ledger.anchor import AnchorFile
from fedvox.client.ledger.entry import Kind, entry_of
from fedvox.common.chain import Link, fits
from fedvox.common.errors import InputError
from fedvox.common.files import sync_folder

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_ROWS, _ANCHOR = ".sqlite", ".anchor"


@dataclass(frozen=True)
class Place:
    """Where the ledger of one version of a data set is."""

    home: Path
    dataset: str
    version: str

    def __post_init__(self) -> None:
        for name in (self.dataset, self.version):
            if not _NAME.fullmatch(name):
                raise InputError(
                    f"{name!r} cannot name a data set or a version: use letters, digits, dot, dash "
                    "and underscore, at most 96"
                )

    @property
    def folder(self) -> Path:
        """Where all versions of the data set are."""
        return self.home / "ledger" / self.dataset

    @property
    def rows(self) -> Path:
        """The database."""
        return self.folder / f"{self.version}{_ROWS}"

    @property
    def anchor(self) -> Path:
        """The anchor beside it."""
        return self.folder / f"{self.version}{_ANCHOR}"

    @property
    def pending(self) -> Path:
        """A new database that has not taken its place yet."""
        return self.folder / f".{self.version}{_ROWS}.new"


def places(home: Path) -> list[Place]:
    """Every ledger under a site's home, also those of which only a part is left."""
    parts = {*home.glob(f"ledger/*/*{_ROWS}"), *home.glob(f"ledger/*/*{_ANCHOR}")}
    named = {(path.parent.name, path.name.removesuffix(path.suffix)) for path in parts}
    return [Place(home, *names) for names in sorted(named) if all(map(_NAME.fullmatch, names))]


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, so that they are still there after a power loss."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


@contextmanager
def looking(place: Place) -> Iterator[sqlite3.Connection]:
    """The rows opened for reading, while nobody writes them."""
    turn = _turn(place) if place.anchor.exists() else nullcontext()
    with turn, schema.reading(place.rows) as connection:
        yield connection


@contextmanager
def _turn(place: Place) -> Iterator[None]:
    with closing(AnchorFile(place.anchor, writable=False)) as anchor, anchor.held(shared=True):
        yield


def first_row(path: Path) -> Link | None:
    """The first row of a database that nobody writes; None where there is none."""
    if not path.exists():
        return None
    with schema.reading(path) as connection:
        first = next(schema.links_from(connection, 1), None)
    return first if first is not None and first.sequence == 1 and fits(first) else None


def opening(first: Link) -> Mapping[str, Any]:
    """What the first row of a ledger says: which data, after which ledger, with what spent."""
    said: Mapping[str, Any] = json.loads(entry_of(first).origin)
    return said


def closing_row(place: Place) -> Link | None:
    """The row that ends a ledger; None while it is in use."""
    with looking(place) as connection:
        last = schema.last_link(connection)
    return last if last is not None and last.entry["kind"] == Kind.CLOSED else None


def followed_by(row: Link) -> str:
    """Which version a closing row names."""
    return str(json.loads(entry_of(row).origin)["version"])
