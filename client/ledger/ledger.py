"""A ledger in use: what it charges before work begins, and what it lets out afterwards.

Why work that was reserved and then cut off goes on without a second charge: a payload is sent only
after its row `released` is on disk, and a refusal only after its row `refused`. So where neither
is, nothing that depends on the patients has left, and a second attempt with fresh noise is the
first one anybody outside can see. Whoever settles first decides: a later attempt at the same work
is told INTERNAL whatever came of it, and must say no more than that. After a refusal something did
leave, since whether to refuse was decided by the data; asked again, the work is charged again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from types import TracebackType
from typing import Any, Self

from fedvox.client.ledger import kin, schema
from fedvox.client.ledger.anchor import AnchorFile
from fedvox.client.ledger.book import (
    Book,
    Quote,
    Standing,
    counted_with,
    over_budget,
    over_noise,
)
from fedvox.client.ledger.entry import Entry, Kind, about, as_plain, compact, now
from fedvox.client.ledger.places import Place
from fedvox.client.ledger.work import Caps, Released, Reservation, Work, is_sha256
from fedvox.common.chain import Anchor, Link, linked
from fedvox.common.errors import Refusal, SiteError

_SEE = "see fedvox site ledger --verify"


class Ledger:
    """The ledger of one version of a site's data.

    Any number of threads may share it, and any number of processes may have the same one open; a
    process that forks opens it anew.
    """

    def __init__(self, place: Place, caps: Caps, clock: Callable[[], str] = now) -> None:
        self._place = place
        self._path = place.rows
        self._caps = caps
        self._clock = clock
        self._book = Book()
        self._lock = RLock()
        self._anchor = AnchorFile(place.anchor)
        try:
            self._connection = schema.connect(place.rows)
        except BaseException:
            self._anchor.close()
            raise

    def reserve(self, work: Work) -> Reservation | Released:
        """Charges the work, durably, so that it may begin; or says what was sent for it before.

        SiteError where the site does not allow it; the refusal is recorded.
        """
        with self._with_kin() as beside:
            self._require_open()
            if reason := over_noise(work, self._caps):
                self._turn_down(work, Refusal.PRIVACY, reason, beside)
            standing = self._book.standing(work.id)
            if standing and standing.settled == Kind.RELEASED:
                return Released(work.id, standing.settled_sequence, standing.payload_sha256)
            if standing and not standing.settled and standing.charged.terms == work.terms:
                charged = standing.charged
                return Reservation(
                    work, standing.sequence, charged.study_after, charged.life_after, resumed=True
                )
            quote = self._book.quote(work, self._caps, work.charge, beside)
            if reason := over_budget(work, quote, self._caps, beside):
                self._turn_down(work, Refusal.BUDGET, reason, beside)
            link = self._append(
                work, Kind.RESERVED, quote, decision="charged", reason=counted_with(beside)
            )
            return Reservation(work, link.sequence, quote.study_after, quote.life_after)

    def release(self, reservation: Reservation, payload_sha256: str) -> Released:
        """Records what is sent for charged work; only then may it be sent."""
        if not is_sha256(payload_sha256):
            raise SiteError(Refusal.INTERNAL, f"no sha256 of a payload: {payload_sha256!r}")
        work = reservation.work
        with self._with_kin() as beside:
            standing = self._standing(reservation)
            if (standing.settled, standing.payload_sha256) == (Kind.RELEASED, payload_sha256):
                return Released(work.id, standing.settled_sequence, payload_sha256)
            fields = {"payload_sha256": payload_sha256, "decision": "sent"}
            link = self._settle(reservation, standing, beside, Kind.RELEASED, **fields)
            return Released(work.id, link.sequence, payload_sha256)

    def refuse(self, reservation: Reservation, refusal: Refusal, reason: str = "") -> None:
        """Records that nothing is sent for charged work; it stays charged."""
        with self._with_kin() as beside:
            standing = self._standing(reservation)
            fields = {"decision": refusal.value, "reason": reason}
            self._settle(reservation, standing, beside, Kind.REFUSED, **fields)

    def decline(self, work: Work, refusal: Refusal, reason: str = "") -> None:
        """Records that the site would not begin the work; nothing is charged."""
        with self._with_kin() as beside:
            self._require_open()
            self._record_refusal(work, refusal, reason, beside)

    def head(self) -> Anchor:
        """How long the ledger is and its last hash, after checking every row."""
        with self._exclusive():
            return Anchor(self._book.count, self._book.head)

    def close_for(self, version: str, prepare: Callable[[dict[str, Any], Anchor], None]) -> None:
        """Ends the ledger in favour of that of another version of the data.

        Calls `prepare` with what was spent and how the ledger will end, and ends it after that.
        """
        with self._exclusive():
            self._require_open()
            life = self._book.life
            entry = Entry(
                self._clock(),
                Kind.CLOSED,
                life_before=life.recorded,
                life_after=life.recorded,
                life_delta=life.delta,
                origin=compact({"version": version}),
            )
            end = linked(self._book.count + 1, as_plain(entry), self._book.head)
            prepare(self._book.carried(), Anchor(end.sequence, end.hash))
            self._add(entry)

    def close(self) -> None:
        """Lets go of the files."""
        with self._lock:
            try:
                # Readers take turns with the clearing of the write-ahead log that comes with it.
                with self._anchor.held(), schema.disk(self._path):
                    self._connection.close()
            finally:
                self._anchor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _with_kin(self) -> Iterator[list[Book]]:
        """Alone with the ledger, and with what was spent on the same patients elsewhere."""
        # Read before the ledger is held: two ledgers that wait for each other would never go on.
        with kin.turn(self._place):
            books = kin.books_of(kin.kin_of(self._place))
            with self._exclusive():
                yield books

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Alone with the ledger, having read and checked what others added."""
        with self._lock, self._anchor.held():
            with schema.disk(self._path):
                self._catch_up()
            yield

    def _catch_up(self) -> None:
        book, anchor = self._book, self._anchor.read()
        links = schema.links_from(self._connection, max(book.count, 1))
        if book.count:
            known = next(links, None)
            if known is None or known.hash != book.head:
                raise SiteError(Refusal.INTERNAL, f"row {book.count} was changed or cut; {_SEE}")
        at_anchor = book.head if anchor.count == book.count else ""
        for link in links:
            book.add(link)
            if link.sequence == anchor.count:
                at_anchor = link.hash
        if book.of != (self._place.dataset, self._place.version):
            text = f"{self._path}: this is the ledger of {' '.join(book.of) or 'nothing'}"
            raise SiteError(Refusal.INTERNAL, text)
        # An anchor behind what was known before was checked when it was passed.
        if anchor.count > book.count or (at_anchor and at_anchor != anchor.head):
            text = f"the ledger does not reach the {anchor.count} rows of its anchor; {_SEE}"
            raise SiteError(Refusal.INTERNAL, text)
        if anchor.count < book.count:  # the process that added the rows ended before it anchored
            self._anchor.write(Anchor(book.count, book.head))

    def _require_open(self) -> None:
        if self._book.closed:
            version = self._book.closed["version"]
            text = f"{self._path}: closed: the data's version {version!r} followed"
            raise SiteError(Refusal.INTERNAL, text)

    def _standing(self, reservation: Reservation) -> Standing:
        self._require_open()
        standing = self._book.standing(reservation.work.id)
        if standing is None or standing.sequence != reservation.sequence:
            text = f"row {reservation.sequence} is not the last charge of this work"
            raise SiteError(Refusal.INTERNAL, text)
        return standing

    def _settle(
        self,
        reservation: Reservation,
        standing: Standing,
        beside: Sequence[Book],
        kind: Kind,
        **fields: str,
    ) -> Link:
        if standing.settled:
            text = f"row {reservation.sequence} was settled by row {standing.settled_sequence}"
            raise SiteError(Refusal.INTERNAL, f"{text}, by another attempt at the same work")
        work = reservation.work
        quote = self._book.quote(work, self._caps, None, beside)
        return self._append(work, kind, quote, reservation=reservation.sequence, **fields)

    def _turn_down(self, work: Work, refusal: Refusal, reason: str, beside: Sequence[Book]) -> None:
        self._record_refusal(work, refusal, reason, beside)
        raise SiteError(refusal, reason)

    def _record_refusal(
        self, work: Work, refusal: Refusal, reason: str, beside: Sequence[Book]
    ) -> None:
        quote = self._book.quote(work, self._caps, None, beside)
        self._append(work, Kind.REFUSED, quote, decision=refusal.value, reason=reason)

    def _append(self, work: Work, kind: Kind, quote: Quote, **fields: Any) -> Link:
        figures = {**about(work, self._caps), **vars(quote), **fields}
        return self._add(Entry(self._clock(), kind, **figures))

    def _add(self, entry: Entry) -> Link:
        """Makes a row durable, then the anchor."""
        link = linked(self._book.count + 1, as_plain(entry), self._book.head)
        with schema.disk(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                schema.insert(self._connection, link)
                self._connection.execute("COMMIT")
            except BaseException:
                self._undo()
                raise
        self._book.add(link)
        self._anchor.write(Anchor(link.sequence, link.hash))
        return link

    def _undo(self) -> None:
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:  # sqlite did it already; what stopped the row is being told
                return
