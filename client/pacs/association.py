"""Associations that are bounded: in time, in memory, and in what a peer can make them hold.

What arrives goes to the spool while it arrives, so that an object of any size costs no memory.
Here alone does fedvox reach behind the interface of pynetdicom.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.pdu_primitives import P_DATA

from fedvox.client.pacs.part import Part
from fedvox.client.pacs.part10 import file_head
from fedvox.client.pacs.reasons import Reason, Unfetched

if TYPE_CHECKING:
    from pynetdicom.association import Association

LARGEST_PDU_BYTES = 1 << 17
"""What we ask peers to send at most."""
_ACCEPTED_PDU_BYTES = 1 << 20
"""What is read at most: a request for an association is not bound by what we ask for."""
_COMMAND_BYTES = 1 << 16
_IDENTIFIER_BYTES = 1 << 20
_WAITING_MESSAGES = 64
"""A peer that sends on and on without waiting for an answer is cut off."""
_PARTING_S = 1.0

Begin = Callable[[], Part]


class Arriving(BytesIO):
    """The data set of a message: of C-STORE on the disk, of others in a bounded piece of memory."""

    def __init__(self, message: DIMSEMessage, association: Association, begin: Begin) -> None:
        super().__init__()
        self._message = message
        self._association = association
        self._begin = begin
        self.part: Part | None = None
        self.is_too_long = False

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Takes in the next fragment."""
        if not isinstance(self._message, C_STORE_RQ):
            self.is_too_long = self.tell() + len(data) > _IDENTIFIER_BYTES
            return 0 if self.is_too_long else super().write(data)
        if self.part is None:
            self.part = self._begin()
            self.part.head(self._head())
        self.part.write(data)
        return len(data)

    def _head(self) -> bytes:
        command = self._message.command_set
        return file_head(
            str(command.get("AffectedSOPClassUID", "")),
            str(command.get("AffectedSOPInstanceUID", "")),
            self._syntax(),
        )

    def _syntax(self) -> str:
        for context in self._association.accepted_contexts:
            if context.context_id == self._message.context_id:
                return str(context.transfer_syntax[0])
        return ""

    def drop(self) -> None:
        """Removes what came, unless it was stored."""
        if self.part is not None:
            self.part.drop()


class _Bounded(DIMSEServiceProvider):
    """Receives messages piece by piece and gives up those that no peer has reason to send."""

    def __init__(self, association: Association, begin: Begin) -> None:
        super().__init__(association)
        self._begin = begin
        self._arrivals: list[Arriving] = []

    def receive_primitive(self, primitive: P_DATA) -> None:
        if self.message is None:
            self.message = DIMSEMessage()
            self.message.data_set = self._arriving(self.message)
        data_set, command = self.message.data_set, self.message.encoded_command_set
        try:
            super().receive_primitive(primitive)
        except Exception:  # a decoder of bytes from the network raises anything
            self._give_up()
            return
        too_long = isinstance(data_set, Arriving) and data_set.is_too_long
        if too_long or command.tell() > _COMMAND_BYTES or self._waiting() > _WAITING_MESSAGES:
            self._give_up()

    def get_msg(self, block: bool = False) -> Any:
        """The next message; of an association of ours, only for who asked and waits for it.

        pynetdicom's own thread looks, without waiting, for requests to serve. Its pause while we
        ask comes late on a busy machine: then it takes an answer for a request, and drops it.
        """
        if not block and self.assoc.is_requestor:
            return None, None
        return super().get_msg(block)

    def _arriving(self, message: DIMSEMessage) -> Arriving:
        self._arrivals = [one for one in self._arrivals[-_WAITING_MESSAGES:] if one.part]
        arriving = Arriving(message, self.assoc, self._begin)
        self._arrivals.append(arriving)
        return arriving

    def _waiting(self) -> int:
        return self.msg_queue.qsize()

    def _give_up(self) -> None:
        self.dul.event_queue.put("Evt19")  # as pynetdicom does for what is no valid PDU

    def drop_unfinished(self) -> None:
        for arriving in self._arrivals:
            arriving.drop()


def bound(association: Association, begin: Begin, patience_s: float) -> None:
    """Bounds an association whose connection has just been opened."""
    transport = association.dul.socket
    if transport is None or transport.socket is None:
        return
    transport.socket.settimeout(patience_s)
    association.dimse = _Bounded(association, begin)

    def receive(count: int) -> bytearray:
        if transport.socket is None:
            raise OSError("the connection is closed")
        return _receive(transport.socket, count, patience_s)

    setattr(transport, "recv", receive)  # noqa: B010 - a method of one object
    with suppress(OSError):  # it is closed already
        # A message is several small writes: without this, each waits 40 ms for the one before.
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _receive(connection: socket.socket, count: int, patience_s: float) -> bytearray:
    """`count` bytes, or fewer where the peer ends; TimeoutError where it dribbles."""
    if count > _ACCEPTED_PDU_BYTES:
        raise OSError("a PDU larger than any peer needs")
    # As above, for peers that wait for an acknowledgement; it has to be set again each time.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    deadline = time.monotonic() + patience_s
    buffer = bytearray(count)
    view, have = memoryview(buffer), 0
    while have < count:
        got = connection.recv_into(view[have:])
        if not got:
            break
        have += got
        if time.monotonic() > deadline:
            raise TimeoutError("a PDU that takes too long")
    view.release()
    del buffer[have:]
    return buffer


def drop_unfinished(association: Association) -> None:
    """Removes what an association that ended had begun to send."""
    if isinstance(association.dimse, _Bounded):
        association.dimse.drop_unfinished()


def is_receiving(association: Association) -> bool:
    """Whether it is in the middle of a message."""
    return association.dimse.message is not None


def part_of(request: Any) -> Part:
    """What a C-STORE request brought; Unfetched where it brought nothing."""
    arriving = request.DataSet
    if not isinstance(arriving, Arriving) or arriving.part is None:
        raise Unfetched(Reason.BROKEN)
    return arriving.part


def end(association: Association) -> None:
    """Aborts, whatever state it is in; a peer that is silent within a PDU cannot hold it up."""
    cut = threading.Timer(_PARTING_S, _shut, (association,))
    cut.daemon = True
    cut.start()
    with suppress(Exception):  # it may be ending by itself meanwhile
        association.abort()
    cut.cancel()


def _shut(association: Association) -> None:
    transport = association.dul.socket
    with suppress(OSError):
        if transport is not None and transport.socket is not None:
            transport.socket.shutdown(socket.SHUT_RDWR)
