"""Opens a ledger, and hands what was spent from one version of the data to the next.

The same patients are in most versions of a data set, so a new version inherits what was spent: its
first row names the last hash of its predecessor and carries the charges. The predecessor is closed
in the same move and takes no more. A new ledger is made ready under a hidden name, and takes its
own once its predecessor is closed and its anchor stands; cut off anywhere, the next opening goes on
or begins again. A ledger that is gone, where anything else remembers it, is never begun anew.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedvox.client.ledger import anchor, schema
from fedvox.client.ledger.book import Book
from fedvox.client.ledger.entry import Entry, Kind, as_plain, compact, now
from fedvox.client.ledger.ledger import Ledger
from fedvox.client.ledger.places import (
    Place,
    closing_row,
    first_row,
    followed_by,
    make_folder,
    opening,
    places,
)
from fedvox.client.ledger.work import Caps
from fedvox.common.chain import Anchor, Link, linked
from fedvox.common.errors import DataError, Refusal, SiteError
from fedvox.common.files import sync_folder, write_bytes_atomic


def open_ledger(home: Path, dataset: str, version: str, caps: Caps) -> Ledger:
    """The ledger of a version of the site's data, begun where there is none.

    DataError for a version that another has followed; SiteError where a ledger is damaged or gone;
    ResourceError where the disk will not.
    """
    place = Place(home, dataset, version)
    if not _whole(place):
        with _alone(place.folder):
            if not _whole(place):  # nor was it begun by another process meanwhile
                _begin(place, caps)
    if row := closing_row(place):
        raise DataError(
            f"data set {dataset!r}: version {version!r} was followed by {followed_by(row)!r} on "
            f"{row.entry['time']}, which goes on with what was spent; use that one"
        )
    return Ledger(place, caps)


def _whole(place: Place) -> bool:
    return place.rows.exists() and place.anchor.exists()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else begins a ledger of this data set meanwhile."""
    with schema.disk(folder):
        make_folder(folder)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _begin(place: Place, caps: Caps) -> None:
    if place.rows.exists():
        raise _missing(place.anchor)
    others = [other for other in places(place.home) if other.dataset == place.dataset]
    others = [other for other in others if other.version != place.version]
    for other in others:
        if not _whole(other):
            raise _missing(other.anchor if other.rows.exists() else other.rows)
    if not place.anchor.exists():
        _make_ready(place, others, caps)
    first = first_row(place.pending)
    if first is None or not _due(place, first, others):
        raise _missing(place.rows)
    anchor.create(place.anchor, Anchor(1, first.hash))
    with schema.disk(place.rows):
        place.pending.rename(place.rows)
        sync_folder(place.folder)


def _missing(path: Path) -> SiteError:
    text = f"{path}: missing, though it was in use before; restore it from a backup"
    return SiteError(Refusal.INTERNAL, text)


def _make_ready(place: Place, others: list[Place], caps: Caps) -> None:
    """Writes the new ledger, closing the one in use; nothing where that was done before."""
    in_use = [other for other in others if closing_row(other) is None]
    if len(in_use) > 1:
        names = ", ".join(other.version for other in in_use)
        text = f"{place.folder}: more than one version is in use: {names}; restore a backup"
        raise SiteError(Refusal.INTERNAL, text)
    if place.version in {_predecessor(other).get("version") for other in others}:
        raise _missing(place.rows)
    if not others:
        _prepare(place, None, Book().carried())
    elif in_use:
        (last,) = in_use

        def prepare(carried: dict[str, Any], end: Anchor) -> None:
            named = {"version": last.version, "count": end.count, "head": end.head}
            _prepare(place, named, carried)

        with Ledger(last, caps) as predecessor:
            predecessor.close_for(place.version, prepare)


def _prepare(
    place: Place,
    predecessor: Mapping[str, object] | None,
    carried: dict[str, Any],
) -> None:
    """Writes the new ledger, with its first row, under the hidden name."""
    origin = {
        "dataset": place.dataset,
        "version": place.version,
        "predecessor": predecessor,
        "carried": carried,
    }
    life = carried["life"]
    entry = Entry(
        now(),
        Kind.OPENED,
        life_before=life["epsilon"],
        life_after=life["epsilon"],
        life_delta=life["delta"],
        origin=compact(origin),
    )
    with schema.disk(place.pending):
        first = linked(1, as_plain(entry), schema.START)
        write_bytes_atomic(place.pending, schema.blank(first))


def _predecessor(place: Place) -> Mapping[str, Any]:
    first = first_row(place.rows)
    return (opening(first)["predecessor"] or {}) if first is not None else {}


def _due(place: Place, first: Link, others: list[Place]) -> bool:
    """Whether a prepared ledger is the one its anchor, or its closed predecessor, waits for."""
    if place.anchor.exists():
        return anchor.read(place.anchor) == Anchor(1, first.hash)
    named = opening(first)["predecessor"]
    if named is None:
        return not others
    ends = {other.version: closing_row(other) for other in others}
    end = ends.get(named["version"])
    return end is not None and followed_by(end) == place.version and end.hash == named["head"]
