"""Other data sets with some of the same patients: what was spent on them there counts here too.

A patient is known again by the pseudonym, which is the same in all data sets of a site, and by the
images, should they have come under another name. A data set of which only the ledger is left may
have held anybody, so it counts.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fedvox.client.ledger import schema
from fedvox.client.ledger.book import Book
from fedvox.client.ledger.places import Place, closing_row, followed_by, places
from fedvox.client.ledger.uncharged import manifest_of, read_only, reading
from fedvox.client.ledger.verify import look
from fedvox.common.chain import Link
from fedvox.common.errors import Refusal, SiteError

_SHARED = (
    "SELECT 1 FROM cases JOIN other.cases AS theirs ON theirs.pseudonym = cases.pseudonym",
    "SELECT 1 FROM cases JOIN other.cases AS theirs ON theirs.image_sha256 = cases.image_sha256",
)


@contextmanager
def turn(place: Place) -> Iterator[None]:
    """Nobody charges a data set with the same patients meanwhile."""
    if not manifest_of(place).exists():  # nobody can say whose cases these are
        yield
        return
    with schema.disk(place.folder):
        path = place.folder.parent / ".turn"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with schema.disk(path):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def kin_of(place: Place) -> list[Place]:
    """The ledgers in use of other data sets that have, or may have had, the same patients."""
    own = manifest_of(place)
    if not own.exists():
        return []
    others = [other for other in places(place.home) if other.dataset != place.dataset]
    shared = {
        name: _share(own, manifest_of(place, name)) for name in {one.dataset for one in others}
    }
    return [other for other in others if shared[other.dataset] and not _followed(other)]


def books_of(kin: Sequence[Place]) -> list[Book]:
    """What these ledgers add up to; SiteError where one is not as it was written."""
    books = []
    for place in kin:
        found = look(place)
        if found.findings:
            text = (
                f"the ledger of {place.dataset!r}, which has some of the same patients, is not as "
                f"it was written: {found.findings[0].text}"
            )
            raise SiteError(Refusal.INTERNAL, text)
        books.append(book_of(found.links))
    return books


def trusted_books(kin: Sequence[Place]) -> list[Book]:
    """What can be believed of these ledgers, for looking at."""
    return [book_of(look(place).trusted) for place in kin]


def book_of(links: Iterable[Link]) -> Book:
    """What rows add up to."""
    book = Book()
    for link in links:
        book.add(link)
    return book


def _followed(place: Place) -> bool:
    """Whether another version of the data goes on with what was spent."""
    if not place.rows.exists():
        return False
    row = closing_row(place)
    return row is not None and Place(place.home, place.dataset, followed_by(row)).rows.exists()


def _share(own: Path, other: Path) -> bool:
    if not other.exists():
        return True
    try:
        with reading(own) as connection:
            connection.execute("ATTACH DATABASE ? AS other", (read_only(other),))
            return any(connection.execute(f"{query} LIMIT 1").fetchone() for query in _SHARED)
    except SiteError as error:
        text = f"whether {other.parent} has the same patients cannot be read: {error.detail}"
        raise SiteError(Refusal.INTERNAL, text) from None
