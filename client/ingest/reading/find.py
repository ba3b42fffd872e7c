"""Everything below some paths, found and loaded by the reader of its format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import cast

from fedvox.client.ingest.reading.source import opened
from fedvox.client.ingest.reading.walk import real, walk
from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.scan import Findings, Reader, Scan, ScanRef, SetAside, merged

READERS: Mapping[str, str] = {
    "dicom": "fedvox.client.ingest.reading.dicom",
    "volumes": "fedvox.client.ingest.volumes.reading",
}
"""Name -> module that is a Reader; asked in this order whether a file is theirs."""

HEAD_BYTES = 4096


@cache
def reader(name: str) -> Reader:
    """The reader of that name."""
    return cast(Reader, import_module(READERS[name]))


def find(paths: Iterable[Path], names: Sequence[str] = tuple(READERS)) -> Findings:
    """All scans, labels and the rest below the paths; never raises for what lies there."""
    walked = walk(paths)
    own: dict[str, list[Path]] = {name: [] for name in names}
    asides = list(walked.asides)
    for path in walked.files:
        try:
            with opened(path) as file:
                head = file.read_at(0, HEAD_BYTES)
        except OSError as error:
            detail = error.strerror or str(error)
            asides.append(SetAside(Reason.UNREADABLE, (path,), detail))
            continue
        name = next((name for name in names if reader(name).sniff(path, head)), None)
        if name is None:
            reason = Reason.NOT_AN_IMAGE if head else Reason.EMPTY
            asides.append(SetAside(reason, (path,), "no reader knows this format"))
        else:
            own[name].append(path)
    found = [reader(name).find(files) for name, files in own.items() if files]
    unread = len(walked.files) - sum(map(len, own.values()))
    every = merged([*found, Findings(set_aside=tuple(asides), files_read=unread)])
    return replace(every, set_aside=tuple(_without_used(every)))


def _without_used(found: Findings) -> Iterator[SetAside]:
    """What was set aside, but for files of voxels alone that scans are read from."""
    used = {
        real(path) for scan in found.scans if scan.reader == "volumes" for path in scan.files[1:]
    }
    for aside in found.set_aside:
        if len(aside.files) != 1 or not used or real(aside.files[0]) not in used:
            yield aside


def load(ref: ScanRef) -> Scan:
    """The scan itself; Quarantined where it cannot be had."""
    if ref.reader not in READERS:
        raise Quarantined(Reason.UNREADABLE, f"no reader {ref.reader}")
    try:
        return reader(ref.reader).load(ref)
    except (Quarantined, MemoryError):
        raise
    except Exception as error:  # a scan that surprises must not stop the others
        raise Quarantined(Reason.UNREADABLE, f"unexpected: {error!r}") from None
