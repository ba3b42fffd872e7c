"""The patients that this site no longer uses: one list for all datasets, also those to come.

HOME/data/withdrawn.txt, a pseudonym and a time in each line.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from fedvox.client.dataset.versions import now
from fedvox.common.errors import InputError, ResourceError
from fedvox.common.files import sync_folder, write_text_atomic, writing


def withdrawn(home: Path) -> frozenset[str]:
    """The pseudonyms of everybody who was withdrawn."""
    return frozenset(line.split()[0] for line in _lines(_path(home)))


def note_withdrawn(home: Path, pseudonym: str) -> None:
    """Puts a patient on the list, durably; nothing where he is on it."""
    path = _path(home)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if pseudonym not in withdrawn(home):
            lines = [*_lines(path), f"{pseudonym} {now()}"]
            write_text_atomic(path, "\n".join(lines) + "\n")
            sync_folder(path.parent)
    finally:
        os.close(descriptor)


def _path(home: Path) -> Path:
    return home / "data" / "withdrawn.txt"


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        # Without the list nobody knows who may not be used.
        raise ResourceError(f"{path}: cannot be read: {error.strerror}") from None
    if any(not line.startswith("P-") for line in lines):
        raise InputError(f"{path}: damaged: a line is no pseudonym; restore it from a backup")
    return lines
