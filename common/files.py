"""Files that are whole or absent, whatever happens meanwhile; and a lock on a folder."""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fedvox.common.errors import ResourceError, RunInUseError

Chunk = bytes | memoryview

_REMEDIES = {
    errno.ENOSPC: "the disk is full; free space",
    errno.EDQUOT: "the disk quota is used up; free space",
    errno.EFBIG: "the file is larger than the system allows (ulimit -f); raise the limit",
    errno.EROFS: "the file system is read-only; remount it, or choose another folder",
    errno.EACCES: "no permission; work as the user whose folder it is, or choose another folder",
    errno.EPERM: "writing there is not allowed; choose another folder",
    errno.ENOTDIR: "a part of the path is a file; choose another folder",
}
_GO_ON = "do the same again"


@contextmanager
def writing(path: Path, go_on: str = _GO_ON) -> Iterator[None]:
    """Turns what the system says against writing `path` into a ResourceError with the remedy.

    `go_on` says what is to be done then, where it is not just the same again.
    """
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, f"{error.strerror or error}; look at the disk")
        raise ResourceError(
            f"{path}: cannot be written: {remedy}, then {go_on}. What was written before is intact"
        ) from error


def write_bytes_atomic(path: Path, *chunks: Chunk) -> None:
    """Writes the file whole or not at all, and past a power loss; an old one stays until then."""
    temporary = path.with_name(f".{path.name}.tmp")
    with writing(path):
        try:
            _write_through(temporary, chunks)
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def _write_through(path: Path, chunks: Iterable[Chunk]) -> None:
    with path.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Makes renames and removals in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text_atomic(path: Path, text: str) -> None:
    """`write_bytes_atomic` for text, in UTF-8."""
    write_bytes_atomic(path, text.encode())


def write_json_atomic(path: Path, value: Mapping[str, Any]) -> None:
    """`write_bytes_atomic` for an object as indented JSON; what is not finite becomes null."""
    write_text_atomic(path, json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")


def plain(value: Any) -> Any:
    """`value` in JSON's own types: numpy scalars unwrapped, NaN and infinity as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


class RunLock:
    """Holds a run directory for this process; the system lets go of it when the process ends."""

    def __init__(self, folder: Path, option: str = "") -> None:
        """`option` is what the command calls the folder by, where one may choose another."""
        self._folder = folder
        self._go_on = f"{_GO_ON}, with another {option} if need be" if option else _GO_ON
        self._descriptor: int | None = None

    def acquire(self) -> Self:
        """Takes the lock, or raises RunInUseError naming the folder and who holds it."""
        path = self._folder / ".lock"
        with writing(path, self._go_on):
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise RunInUseError(
                f"{self._folder}: process {holder} is working in this folder; wait for it to end, "
                "or choose another folder"
            ) from None
        self._descriptor = descriptor
        with suppress(OSError):  # who holds it is a courtesy; the lock is held
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return self

    def release(self) -> None:
        """Lets go; the file stays, since removing it would let two processes hold two locks."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
