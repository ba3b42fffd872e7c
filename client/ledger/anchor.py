"""The anchor of a ledger: how many rows it has and the last hash, in a small file beside it.

Two slots are written in turn, each with its own check, so that one is whole whenever the machine
stops. The file has its final size from the start: an anchor can be written when the disk is full,
and by one cheap sync. It is also what writers of the ledger take turns by.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

from fedvox.client.ledger.schema import disk
from fedvox.common.chain import Anchor
from fedvox.common.errors import Refusal, SiteError
from fedvox.common.files import write_bytes_atomic

_SLOT_BYTES = 128


def create(path: Path, anchor: Anchor) -> None:
    """Writes a new anchor file, in place of one that may be there."""
    with disk(path):
        write_bytes_atomic(path, _slot(anchor) * 2)


def read(path: Path) -> Anchor:
    """The anchor as it is on disk; SiteError where it is gone or damaged."""
    with closing(AnchorFile(path, writable=False)) as file:
        return file.read()


class AnchorFile:
    """The anchor of a ledger in use; it must exist."""

    def __init__(self, path: Path, writable: bool = True) -> None:
        self._path = path
        with disk(path):
            try:
                flags = os.O_RDWR if writable else os.O_RDONLY
                self._descriptor = os.open(path, flags | os.O_CLOEXEC)
            except FileNotFoundError:
                raise SiteError(Refusal.INTERNAL, _gone(path)) from None

    @contextmanager
    def held(self, shared: bool = False) -> Iterator[Self]:
        """No other block runs meanwhile, here or in another process; two that are shared may."""
        with disk(self._path):
            fcntl.flock(self._descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        try:
            yield self
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def read(self) -> Anchor:
        """The newest anchor."""
        with disk(self._path):
            return _newest(os.pread(self._descriptor, 2 * _SLOT_BYTES, 0), self._path)

    def write(self, anchor: Anchor) -> None:
        """Makes `anchor` the newest, durably; the one before stays until then."""
        with disk(self._path):
            os.pwrite(self._descriptor, _slot(anchor), anchor.count % 2 * _SLOT_BYTES)
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self._descriptor)


def _slot(anchor: Anchor) -> bytes:
    body = f"{anchor.count:012d} {anchor.head}"
    line = f"{body} {hashlib.sha256(body.encode()).hexdigest()[:16]}"
    return line.ljust(_SLOT_BYTES - 1).encode() + b"\n"


def _newest(content: bytes, path: Path) -> Anchor:
    slots = (content[:_SLOT_BYTES], content[_SLOT_BYTES : 2 * _SLOT_BYTES])
    whole = [anchor for slot in slots if (anchor := _parsed(slot)) is not None]
    if not whole:
        text = f"{path}: damaged: neither of the ledger's anchors can be read; restore a backup"
        raise SiteError(Refusal.INTERNAL, text)
    return max(whole, key=lambda anchor: anchor.count)


def _parsed(slot: bytes) -> Anchor | None:
    words = slot.decode("ascii", errors="replace").split()
    if len(words) != 3 or not words[0].isdecimal():
        return None
    anchor = Anchor(int(words[0]), words[1])
    return anchor if _slot(anchor) == slot else None


def _gone(path: Path) -> str:
    return f"{path}: missing: without it nobody can tell whether the ledger lost rows; restore it"
