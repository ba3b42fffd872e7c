"""Studies that were given a data set and never charged for it: a ledger alone would not show them.

What they sent had no noise, so that no epsilon can be said of it. Whoever reads what was spent must
see that there is more.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from fedvox.client.dataset.places import Place as DataPlace
from fedvox.client.ledger import schema
from fedvox.client.ledger.entry import Kind
from fedvox.client.ledger.places import Place, places
from fedvox.client.ledger.verify import look


def manifest_of(place: Place, dataset: str = "") -> Path:
    """What says whose cases the data set, or another of the site, holds."""
    return DataPlace(place.home, dataset or place.dataset).manifest


@contextmanager
def reading(manifest: Path) -> Iterator[sqlite3.Connection]:
    """A manifest opened for looking at, also where nothing may be written beside it."""
    with schema.disk(manifest), closing(sqlite3.connect(read_only(manifest), uri=True)) as found:
        yield found


def read_only(path: Path) -> str:
    """The address of a database of which nothing is changed."""
    # Where nothing can be written beside it, nobody writes the file either.
    frozen = "" if os.access(path.parent, os.W_OK) else "&immutable=1"
    return f"file:{quote(str(path.absolute()))}?mode=ro{frozen}"


def uncharged(place: Place) -> tuple[str, ...]:
    """Names of the studies that were given any version of the data, and charged for none."""
    manifest = manifest_of(place)
    if not manifest.exists():
        return ()
    with reading(manifest) as connection:
        given = connection.execute("SELECT DISTINCT study_sha256, study FROM uses").fetchall()
    versions = [other for other in places(place.home) if other.dataset == place.dataset]
    charged = {
        link.entry["study_sha256"]
        for version in versions
        for link in look(version).trusted
        if link.entry["kind"] == Kind.RESERVED
    }
    return tuple(sorted({name for digest, name in given if digest not in charged}))
