"""Room on disk for what is on its way and too large for memory: files without a name."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from fedvox.common.files import writing


class Spool:
    """Keeps bytes in files that go away by themselves.

    A file that nobody reads any more is written anew, which takes a tenth of the time that a new
    one takes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: list[tuple[IO[bytes], weakref.ref[mmap]]] = []

    def keep(self, pieces: Iterable[tuple[int, memoryview]]) -> mmap:
        """The pieces, each at its place, to be read as if they were in memory."""
        with writing(self._folder):
            file, size = self._unread() or self._new(), 0
            for at, piece in pieces:
                file.seek(at)
                file.write(piece)
                size = max(size, at + piece.nbytes)
            file.flush()
            file.truncate(size)
            kept = mmap(file.fileno(), size, access=ACCESS_READ)
        self._files.append((file, weakref.ref(kept)))
        return kept

    def _new(self) -> IO[bytes]:
        return TemporaryFile(dir=self._folder)  # closed when it is forgotten

    def _unread(self) -> IO[bytes] | None:
        """A file of which nothing is seen any more; further ones are given back."""
        unread = [file for file, kept in self._files if kept() is None]
        self._files = [(file, kept) for file, kept in self._files if kept() is not None]
        for file in unread[1:]:
            file.close()
        return unread[0] if unread else None
