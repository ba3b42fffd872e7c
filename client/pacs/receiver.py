"""The storage SCP: checks who sends, stores what comes, and says so only once it is durable."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self

from fedvox.client.pacs import association
from fedvox.client.pacs.allow import AllowList, plain_address
from fedvox.client.pacs.classes import STORED, SYNTAXES
from fedvox.client.pacs.part import Part
from fedvox.client.pacs.reasons import Reason, Unfetched
from fedvox.client.pacs.refused import RefusedLog, Why
from fedvox.client.pacs.spool import Stored
from fedvox.client.pacs.tls import TlsFiles
from fedvox.common.errors import InputError

if TYPE_CHECKING:
    from pynetdicom.events import Event

ACCEPTED = 0x0000
"""The status that says an object is durable here."""
_STATUS = {
    Reason.NO_SPACE: 0xA700,
    Reason.TOO_LARGE: 0xA702,
    Reason.NOT_ASKED_FOR: 0xA900,
    Reason.BROKEN: 0xC000,
}
"""C-STORE's failures (PS3.4, table B.2-1)."""
_CALLING_UNKNOWN, _CALLED_UNKNOWN = 3, 7
_GRACE_S = 5.0


@dataclass(frozen=True)
class Listening:
    """Where and for whom a receiver listens."""

    title: str
    port: int
    allow: AllowList
    address: str = "0.0.0.0"
    tls: TlsFiles = field(default_factory=TlsFiles)
    associations_at_most: int = 16
    idle_s: float = 60.0
    """A peer that is silent for so long, or that takes so long for one PDU, is cut off."""


Received = Callable[[Stored], None]


@dataclass
class Tally:
    """What a receiver took and did not take; for one reader, written by many threads."""

    received: int = 0
    not_stored: Counter[str] = field(default_factory=Counter)
    """Reason -> objects that were refused."""


class Receiver:
    """Listens while it is used as a context manager."""

    def __init__(
        self,
        listening: Listening,
        begin: Callable[[], Part],
        store: Callable[[Part], Stored],
        refused: RefusedLog,
        received: Received = lambda stored: None,
    ) -> None:
        """`begin` opens a file for an object, `store` keeps it or raises Unfetched."""
        self._listening = listening
        self._begin = begin
        self._store = store
        self._refused = refused
        self._received = received
        self._counting = threading.Lock()
        self._busy: dict[str, set[int]] = {}
        self.tally = Tally()

    def __enter__(self) -> Self:
        from pynetdicom import evt
        from pynetdicom.ae import ApplicationEntity

        from fedvox.client.pacs.server import Server, serve

        own = self._listening
        entity = ApplicationEntity(own.title)
        entity.maximum_associations = own.associations_at_most
        entity.maximum_pdu_size = association.LARGEST_PDU_BYTES
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = own.idle_s
        for uid in STORED:
            entity.add_supported_context(uid, list(SYNTAXES))
        entity.add_supported_context("1.2.840.10008.1.1")
        handlers = [
            (evt.EVT_CONN_OPEN, self._on_open),
            (evt.EVT_CONN_CLOSE, self._on_end),
            (evt.EVT_REQUESTED, self._on_request),
            (evt.EVT_REJECTED, self._on_rejected),
            (evt.EVT_RELEASED, self._on_end),
            (evt.EVT_ABORTED, self._on_end),
            (evt.EVT_C_STORE, self._on_store),
        ]
        try:
            self._server = Server(
                entity,
                (own.address, own.port),
                own.title,
                entity.supported_contexts,
                own.tls.server(),
                evt_handlers=handlers,
                refused=lambda why, address: self._refuse(Why(why), address),
                handshake_s=min(own.idle_s, 15.0),
            )
        except OSError as error:
            raise InputError(
                f"port {own.port} of {own.address}: cannot listen: {error.strerror}; choose "
                "another --port, or stop what listens there"
            ) from None
        serve(self._server)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        from fedvox.client.pacs.server import stop

        stop(self._server)
        deadline = time.monotonic() + _GRACE_S
        while self._is_receiving() and time.monotonic() < deadline:
            time.sleep(0.01)
        left = self._server.active_associations
        ends = [threading.Thread(target=association.end, args=(one,)) for one in left]
        for end in ends:
            end.start()
        for end in ends:
            end.join()

    def _is_receiving(self) -> bool:
        return any(map(association.is_receiving, self._server.active_associations))

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def is_busy(self, study: str) -> bool:
        """Whether somebody who sent of this study is still connected."""
        with self._counting:
            return study in self._busy

    def _refuse(self, why: Why, address: str, title: str = "") -> None:
        self._refused.add(why, plain_address(address), title)

    def _on_open(self, event: Event) -> None:
        association.bound(event.assoc, self._begin, self._listening.idle_s)

    def _on_end(self, event: Event) -> None:
        association.drop_unfinished(event.assoc)
        with self._counting:
            for study in list(self._busy):
                self._busy[study].discard(id(event.assoc))
                if not self._busy[study]:
                    del self._busy[study]

    def _on_request(self, event: Event) -> None:
        address, calling, called = _peer(event)
        if called != self._listening.title:
            self._turn_away(event, Why.CALLED, _CALLED_UNKNOWN)
        elif not self._listening.allow.fits(calling, address):
            self._turn_away(event, Why.CALLING, _CALLING_UNKNOWN)

    def _turn_away(self, event: Event, why: Why, code: int) -> None:
        address, calling, _ = _peer(event)
        self._refuse(why, address, calling)
        event.assoc.acse.send_reject(1, 1, code)
        event.assoc.kill()

    def _on_rejected(self, event: Event) -> None:
        address, calling, _ = _peer(event)
        self._refuse(Why.TOO_MANY, address, calling)

    def _on_store(self, event: Event) -> int:
        try:
            part = association.part_of(event.request)
            stored = self._store(part)
        except Unfetched as error:
            with self._counting:
                self.tally.not_stored[error.reason.value] += 1
            return status_of(error)
        with self._counting:
            self.tally.received += 1
            self._busy.setdefault(stored.study, set()).add(id(event.assoc))
        self._received(stored)
        return ACCEPTED


def status_of(error: Unfetched) -> int:
    """The status that tells a sender why its object was not stored."""
    return _STATUS.get(error.reason, 0xC000)


def _peer(event: Event) -> tuple[str, str, str]:
    """Its address, what it calls itself, what it calls us; empty what it did not say."""
    peer = event.assoc.requestor
    address = plain_address(peer.address_info.address) if peer.address_info else ""
    if peer.primitive is None:
        return address, "", ""
    said = peer.primitive
    return address, str(said.calling_ae_title).strip(), str(said.called_ae_title).strip()
