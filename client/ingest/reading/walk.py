"""All files below some paths, each once, whatever the folders look like."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fedvox.client.ingest.reasons import Reason
from fedvox.client.ingest.scan import SetAside


@dataclass
class Walked:
    """What a walk met."""

    files: list[Path] = field(default_factory=list)
    asides: list[SetAside] = field(default_factory=list)


def walk(paths: Iterable[Path]) -> Walked:
    """Regular files below the paths, in the order of their names; links are followed once."""
    walked = Walked()
    seen: set[tuple[int, int]] = set()
    waiting = [Path(path) for path in reversed(list(paths))]
    while waiting:
        path = waiting.pop()
        try:
            status = path.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            if stat.S_ISDIR(status.st_mode):
                waiting += reversed(list(_entries(path)))
            elif stat.S_ISREG(status.st_mode):
                walked.files.append(path)
            else:
                detail = "a pipe, socket or device"
                walked.asides.append(SetAside(Reason.NOT_AN_IMAGE, (path,), detail))
        except OSError as error:
            detail = error.strerror or str(error)
            walked.asides.append(SetAside(Reason.UNREADABLE, (path,), detail))
    return walked


def real(path: Path) -> Path:
    """Where a path leads. Never raises, as Path.resolve does where links lead in a circle."""
    return Path(os.path.realpath(path))


def _entries(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.iterdir())
