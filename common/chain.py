"""An append-only chain of entries: each hash covers its entry and, through the one before, all.

    hash = sha256(previous hash || canonical JSON of the entry and its sequence number)

Whoever changes, removes, inserts or moves a row breaks the chain there. A chain alone cannot notice
that its tail was cut, nor that it was written anew from some row on: for that an Anchor, the number
of rows and the last hash, is kept elsewhere. The hashes have no key: they protect from accident and
from quiet correction, and from whoever can write the chain but not every copy of the anchor.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

Scalar = str | int | float | bool | None
Entry = Mapping[str, Scalar]

_ENOUGH = 20
"""Findings after which no more are looked for."""


class Fault(StrEnum):
    """What can have happened to a row."""

    CHANGED = "changed"
    MISSING = "missing"
    INSERTED = "inserted"
    MOVED = "moved"


@dataclass(frozen=True)
class Link:
    """An entry in its place."""

    sequence: int
    """Counted from 1."""
    entry: Entry
    previous: str
    """Hash of the link before; the genesis for the first."""
    hash: str


@dataclass(frozen=True)
class Anchor:
    """How long a chain was, and where it ended."""

    count: int
    head: str


@dataclass(frozen=True)
class Finding:
    """A row that is not as it was written."""

    sequence: int
    fault: Fault
    text: str


def genesis(purpose: str) -> str:
    """What the first link is chained to; another for each purpose, so chains cannot be swapped."""
    return hashlib.sha256(f"fedvox chain 1: {purpose}".encode()).hexdigest()


def canonical(sequence: int, entry: Entry) -> bytes:
    """The one JSON text of an entry; ValueError for NaN and infinity."""
    return _ENCODER.encode({**entry, "sequence": sequence}).encode()


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def linked(sequence: int, entry: Entry, previous: str) -> Link:
    """The link that holds an entry after the one whose hash is `previous`."""
    return Link(sequence, entry, previous, _hash(sequence, entry, previous))


def _hash(sequence: int, entry: Entry, previous: str) -> str:
    return hashlib.sha256(previous.encode() + canonical(sequence, entry)).hexdigest()


def fits(link: Link) -> bool:
    """Whether the link's hash is that of its entry, place and predecessor."""
    try:
        return _hash(link.sequence, link.entry, link.previous) == link.hash
    except (TypeError, ValueError, AttributeError):  # not of a kind that was ever written
        return False


def verify(links: Iterable[Link], start: str, anchor: Anchor | None = None) -> list[Finding]:
    """What is wrong with a chain that began at `start`; the first finding names the first row."""
    found: list[Finding] = []
    rows = list(links)
    for finding in _faults(rows, start, anchor):
        found.append(finding)
        if len(found) == _ENOUGH:
            break
    return found


def _faults(rows: list[Link], start: str, anchor: Anchor | None) -> Iterator[Finding]:
    """Goes along the chain; after a fault it goes on from the row as it stands."""
    yield from _disorder(rows)
    rows = sorted(rows, key=lambda link: link.sequence)
    expected, head = 1, start
    for link in rows:
        if link.sequence < expected:
            yield Finding(link.sequence, Fault.INSERTED, f"row {link.sequence} is there twice")
            continue
        if link.sequence > expected:
            yield _missing(expected, link.sequence - 1)
            head = ""
        if not fits(link):
            finding = _unfit(link, len(rows))
            yield finding
            if finding.fault is not Fault.CHANGED:  # all rows behind it are displaced as well
                return
            head = ""
        elif head and link.previous != head:
            yield _replaced(link.sequence)
            head = link.hash
        else:
            head = link.hash
        expected = link.sequence + 1
    if anchor is not None:
        yield from _against(anchor, rows, start)


def _disorder(rows: list[Link]) -> Iterator[Finding]:
    for before, link in pairwise(rows):
        if link.sequence < before.sequence:
            text = f"row {link.sequence} stands behind row {before.sequence}"
            yield Finding(link.sequence, Fault.MOVED, text)
            return


def _unfit(link: Link, count: int) -> Finding:
    """Why a row's hash is not its own: of another place, or of another content."""
    here = link.sequence
    for place in range(1, count + 2):
        if place != here and fits(Link(place, link.entry, link.previous, link.hash)):
            if place < here:
                text = f"row {here} was written as row {place}: another was put in at row {place}"
                return Finding(place, Fault.INSERTED, text)
            return Finding(here, Fault.MOVED, f"row {here} was written as row {place}")
    text = f"row {here} is not what was written: a field of it, or its hash, was changed"
    return Finding(here, Fault.CHANGED, text)


def _replaced(sequence: int) -> Finding:
    if sequence == 1:
        text = "row 1 does not begin this chain: it belongs to another, or rows before it are gone"
        return Finding(1, Fault.CHANGED, text)
    text = (
        f"row {sequence - 1} is not the one that row {sequence} was written after: one of them "
        "was changed and hashed again, or put in"
    )
    return Finding(sequence - 1, Fault.CHANGED, text)


def _missing(first: int, last: int) -> Finding:
    what = f"row {first} is missing" if first == last else f"rows {first} to {last} are missing"
    return Finding(first, Fault.MISSING, what)


def _against(anchor: Anchor, rows: list[Link], start: str) -> Iterator[Finding]:
    """Rows past the anchor are no fault: the anchor is written after them."""
    last = rows[-1].sequence if rows else 0
    if anchor.count > last:
        finding = _missing(last + 1, anchor.count)
        text = f"{finding.text} at the end: the anchor names {anchor.count} rows"
        yield Finding(finding.sequence, Fault.MISSING, text)
        return
    heads = {link.sequence: link.hash for link in rows} | {0: start}
    if heads.get(anchor.count, anchor.head) != anchor.head:
        text = f"row {anchor.count} is not the one the anchor names: it, or rows before, changed"
        yield Finding(anchor.count, Fault.CHANGED, text)
