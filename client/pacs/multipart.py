"""The parts of a multipart answer (RFC 2046), told apart while they come, none kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from email.message import Message

from fedvox.client.pacs.reasons import Reason, Unfetched

_HEADERS_BYTES = 1 << 14
Sink = Callable[[bytes], object]


def boundary_of(content_type: str) -> bytes:
    """The boundary that a Content-Type names; Unfetched where the answer is not multipart."""
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary()
    if message.get_content_type() != "multipart/related" or not boundary:
        raise Unfetched(Reason.UNSUPPORTED)
    return boundary.encode("latin-1", errors="replace")


class Parts:
    """A multipart body that is being read."""

    def __init__(self, chunks: Iterable[bytes], boundary: bytes) -> None:
        self._chunks = iter(chunks)
        self._mark = b"\r\n--" + boundary
        self._buffer = bytearray(b"\r\n")  # the first boundary may have no line before it
        self._begun = False

    def next(self) -> bool:
        """Goes to the next part; False behind the last one. The one before must have been read."""
        if not self._begun:
            self._until(self._mark, lambda data: None)
            self._begun = True
        while len(self._buffer) < 2:
            self._more()
        if self._buffer[:2] == b"--":
            return False
        taken = 0

        def count(data: bytes) -> None:
            nonlocal taken
            taken += len(data)
            if taken > _HEADERS_BYTES:
                raise Unfetched(Reason.BROKEN)

        self._until(b"\r\n\r\n", count)
        self._buffer[:0] = b"\r\n"  # the body may be empty: then the boundary follows at once
        return True

    def read(self, sink: Sink) -> None:
        """Gives the part's body, bit by bit, to `sink`."""
        while len(self._buffer) < 2 + len(self._mark):
            self._more()
        if not self._buffer.startswith(self._mark):
            del self._buffer[:2]
        self._until(self._mark, sink)

    def _until(self, mark: bytes, sink: Sink) -> None:
        """Everything before the mark; the mark itself is passed over."""
        while (at := self._buffer.find(mark)) < 0:
            keep = len(mark) - 1
            if len(self._buffer) > keep:
                sink(bytes(self._buffer[:-keep]))
                del self._buffer[:-keep]
            self._more()
        if at:
            sink(bytes(self._buffer[:at]))
        del self._buffer[: at + len(mark)]

    def _more(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            raise Unfetched(Reason.INCOMPLETE)
        self._buffer += chunk
