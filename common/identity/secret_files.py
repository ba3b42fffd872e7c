"""Files and folders that nobody but their owner may read."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from fedvox.common.errors import IdentityError
from fedvox.common.files import sync_folder, writing

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_private_folder(folder: Path) -> None:
    """Makes the folder and takes group and others out of it."""
    with writing(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(folder.stat().st_mode) & _OTHERS:
            folder.chmod(0o700)


def write_secret(path: Path, content: bytes) -> None:
    """Writes the file whole or not at all, never readable by others, not even for a moment."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        try:
            _write_private(temporary, content)
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def _write_private(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    # O_EXCL: neither through a link that somebody put there, nor with the mode of an older file.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def read_secret(path: Path) -> bytes:
    """The file's content; IdentityError where it is missing or others may read it."""
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & _OTHERS:
                raise IdentityError(
                    f"{path}: others on this machine can read or change this secret; run "
                    f"`chmod 600 {path}`, and have it replaced if they may have read it"
                )
            return file.read()
    except FileNotFoundError:
        raise IdentityError(f"{path}: not found; without it nobody can be identified") from None
    except OSError as error:
        raise IdentityError(f"{path}: cannot be read: {error.strerror}") from None
