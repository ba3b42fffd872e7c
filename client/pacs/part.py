"""One object on its way to the disk: bounded, hashed as it comes, durable when it is finished."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fedvox.client.pacs.reasons import Reason, Unfetched


@dataclass(frozen=True)
class Limits:
    """What a spool accepts."""

    largest_bytes: int = 8 << 30
    """Of one object; an enhanced CT of the whole body in thin slices is below."""
    reserve_bytes: int = 1 << 30
    """Kept free on the disk, so that what has come can be ingested."""


class Part:
    """A file that is being written.

    Errors are kept and raised by `finish`: the sender, who goes on sending the rest of the object,
    is to be told at its end.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.path = folder / f"{secrets.token_hex(12)}.part"
        self._limits = limits
        self._hash = hashlib.sha256()
        self._size = 0
        self._descriptor = -1
        self._wrong: Exception | None = None
        try:
            free = os.statvfs(folder)
            if free.f_bavail * free.f_frsize < limits.reserve_bytes:
                raise OSError(errno.ENOSPC, "the reserve is reached")
            how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self.path, how, 0o600)
        except OSError as error:
            self._wrong = error

    def head(self, head: bytes) -> None:
        """Writes what is not part of what came."""
        self._put(head)

    def write(self, data: bytes | memoryview) -> None:
        """Appends to the object."""
        self._size += len(data)
        if self._wrong is None and self._size > self._limits.largest_bytes:
            self._give_up(Unfetched(Reason.TOO_LARGE))
        if self._wrong is None:
            self._hash.update(data)
            self._put(data)

    def _put(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        try:
            while self._wrong is None and view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            self._give_up(error)

    def _give_up(self, why: Exception) -> None:
        self._wrong = why
        self.drop()

    @property
    def sha256(self) -> str:
        """Of what came."""
        return self._hash.hexdigest()

    @property
    def size_bytes(self) -> int:
        """Of what came."""
        return self._size

    def finish(self) -> None:
        """Makes the file durable; OSError or Unfetched where it could not be written."""
        if self._wrong is not None:
            raise self._wrong
        os.fsync(self._descriptor)
        self._close()

    def drop(self) -> None:
        """Removes the file, where it was not moved away."""
        self._close()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with suppress(OSError):
                os.close(descriptor)
