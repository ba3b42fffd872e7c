"""Bytes at an offset: of a file, or of what a deflated file inflates to."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_STEP = 1 << 16
DEFLATE_RATIO = 1032
"""No deflate stream grows by more."""


class Source(Protocol):
    """Something that can be read from anywhere."""

    @property
    def size(self) -> int:
        """Bytes in all, as far as known."""
        ...

    def read_at(self, offset: int, count: int) -> bytes:
        """At most `count` bytes from `offset`; fewer only at the end."""
        ...


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file by its descriptor."""

    descriptor: int
    size: int

    def read_at(self, offset: int, count: int) -> bytes:
        """At most `count` bytes from `offset`."""
        return os.pread(self.descriptor, count, offset)


@contextmanager
def opened(path: Path | str) -> Iterator[OpenFile]:
    """The file, for as long as the block lasts; a pipe or device is not waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        yield OpenFile(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


class Inflated:
    """A raw deflate stream, inflated only as far as it is read and never beyond a limit."""

    def __init__(self, packed: bytes, at_most: int) -> None:
        self._packed = packed
        self._fed = 0
        self._at_most = min(at_most, len(packed) * DEFLATE_RATIO)
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._data = bytearray()
        self._done = False

    @property
    def size(self) -> int:
        """What it may come to: no more can be known before it is inflated."""
        return len(self._data) if self._done else self._at_most

    def read_at(self, offset: int, count: int) -> bytes:
        """At most `count` bytes from `offset`; a broken stream ends where it breaks."""
        while not self._done and len(self._data) < min(offset + count, self._at_most):
            self._more()
        return bytes(self._data[offset : offset + count])

    def _more(self) -> None:
        waiting = self._inflater.unconsumed_tail
        if not waiting:
            waiting = self._packed[self._fed : self._fed + _STEP]
            self._fed += len(waiting)
        try:
            step = self._inflater.decompress(waiting, _STEP)
        except zlib.error:
            self._done = True
            return
        self._data += step
        ended = self._inflater.eof or (not step and self._fed >= len(self._packed))
        self._done = ended or len(self._data) >= self._at_most
