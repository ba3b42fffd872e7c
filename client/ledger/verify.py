"""Whether a ledger on disk is as it was written, and which row is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fedvox.client.ledger import anchor, schema
from fedvox.client.ledger.book import Book
from fedvox.client.ledger.entry import Kind, is_entry
from fedvox.client.ledger.places import Place, followed_by, looking, opening
from fedvox.common import chain
from fedvox.common.chain import Anchor, Fault, Finding, Link
from fedvox.common.errors import SiteError


@dataclass(frozen=True)
class Look:
    """A ledger as it was found."""

    place: Place
    links: tuple[Link, ...]
    findings: tuple[Finding, ...]
    """Empty: every row is as it was written, and none is missing."""

    @property
    def trusted(self) -> tuple[Link, ...]:
        """The rows before the first that is not as it was written."""
        faulty = min((f.sequence for f in self.findings if f.sequence), default=None)
        return tuple(link for link in self.links if faulty is None or link.sequence < faulty)


def look(place: Place) -> Look:
    """Reads a ledger and checks every row, the anchor, and what it inherited."""
    if not place.rows.exists():
        text = f"all rows are missing: {place.rows} is gone"
        return Look(place, (), (Finding(1, Fault.MISSING, text),))
    try:
        with looking(place) as connection:
            links = tuple(schema.links_from(connection, 1))
            findings = tuple(_findings(place, links))
    except SiteError as error:
        return Look(place, (), (Finding(0, Fault.CHANGED, error.detail),))
    return Look(place, links, findings)


def _findings(place: Place, links: tuple[Link, ...]) -> Iterator[Finding]:
    try:
        at: Anchor | None = anchor.read(place.anchor)
    except SiteError as error:
        yield Finding(0, Fault.MISSING, error.detail)
        at = None
    found = chain.verify(links, schema.START, at)
    if not found:
        strange = next((link.sequence for link in links if not is_entry(link)), 0)
        text = f"row {strange} holds values of a kind that is never written"
        found = [Finding(strange, Fault.CHANGED, text)] if strange else []
    yield from found
    if not links:
        yield Finding(1, Fault.MISSING, "the file holds no row at all")
    elif not found:
        yield from _inheritance(place, links[0])


def _inheritance(place: Place, first: Link) -> Iterator[Finding]:
    """What the first row says against the ledger it goes on from."""
    if first.entry["kind"] != Kind.OPENED:
        yield Finding(1, Fault.CHANGED, "row 1 does not open a ledger")
        return
    said = opening(first)
    if (said["dataset"], said["version"]) != (place.dataset, place.version):
        text = f"row 1 opens the ledger of {said['dataset']} {said['version']}, not this one"
        yield Finding(1, Fault.CHANGED, text)
    if named := said["predecessor"]:
        before = Place(place.home, place.dataset, named["version"])
        if reason := _disagreement(before, place.version, named, said["carried"]):
            yield Finding(1, Fault.CHANGED, f"row 1 goes on from {before.version!r}: {reason}")


def _disagreement(
    before: Place, version: str, named: Mapping[str, Any], carried: Mapping[str, Any]
) -> str:
    if not before.rows.exists():
        return f"{before.rows} is gone"
    with looking(before) as connection:
        links = tuple(schema.links_from(connection, 1))
    if not links or (links[-1].sequence, links[-1].hash) != (named["count"], named["head"]):
        return f"its last row is not row {named['count']}, with the hash that was taken over"
    if links[-1].entry["kind"] != Kind.CLOSED or followed_by(links[-1]) != version:
        return f"it was not closed for {version!r}"
    return "" if _sum(links) == carried else "it had spent something else than was taken over"


def _sum(links: Iterable[Link]) -> dict[str, Any]:
    book = Book()
    try:
        for link in links:
            book.add(link)
    except SiteError:  # named when that ledger is looked at
        return {}
    return book.carried()
