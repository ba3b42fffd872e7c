"""Fetching one public file: with progress, resumed where it broke off, checked before use."""

from __future__ import annotations

import errno
import hashlib
import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fedvox.common.errors import DataError, ResourceError
from fedvox.simulations.sources.source import Progress

_TIMEOUT_S = 5.0
_TRIES = 5
"""Broken connections in a row, without a byte between them, before giving up."""
_BLOCK = 1 << 18


@dataclass(frozen=True)
class PublicFile:
    """A file at a public address, and where it belongs here."""

    url: str
    target: Path
    md5: str
    """As published."""
    by_hand: str
    """What may be put in the target's folder instead, for who is offline."""


def fetch(
    file: PublicFile, progress: Progress | None = None, timeout_s: float = _TIMEOUT_S
) -> Path:
    """The file in its place; DataError where it cannot be had, with what to do instead."""
    if file.target.is_file():
        return file.target
    part = file.target.with_name(file.target.name + ".part")
    try:
        file.target.parent.mkdir(parents=True, exist_ok=True)
        _complete(file, part, progress, timeout_s)
        _check(file, part)
        part.replace(file.target)
    except OSError as error:
        hint = "free space there" if error.errno == errno.ENOSPC else "make it writable"
        raise ResourceError(
            f"{file.target.parent}: {file.target.name} cannot be written: {error.strerror}; "
            f"{hint}, or set FEDVOX_CACHE to another folder"
        ) from None
    return file.target


def _complete(file: PublicFile, part: Path, progress: Progress | None, timeout_s: float) -> None:
    """Appends to the part until all of the file is there."""
    failures = 0
    while failures < _TRIES:
        before = _size(part)
        try:
            if _append(file, part, progress, timeout_s):
                return
            failure: Exception = http.client.IncompleteRead(b"")
        except (urllib.error.URLError, http.client.HTTPException, _BrokenError) as error:
            failure = error
        if _is_final(failure, _size(part)):
            raise _unavailable(file, failure) from None
        failures = 0 if _size(part) > before else failures + 1
    raise _unavailable(file, failure) from None


class _BrokenError(Exception):
    """The connection broke while reading: not a failure of the disk."""


def _append(file: PublicFile, part: Path, progress: Progress | None, timeout_s: float) -> bool:
    """One request for what is missing; whether the file is complete after it."""
    have = _size(part)
    request = urllib.request.Request(file.url, headers={"User-Agent": "fedvox"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        answer = urllib.request.urlopen(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing follows what is here: the checksum decides
            return True
        raise
    except (TimeoutError, ConnectionError) as error:
        raise _BrokenError(error) from None
    with answer:
        if have and answer.status != 206:  # the server does not resume: from the start
            have = 0
        rest = answer.headers.get("Content-Length")
        total = have + int(rest) if rest else 0
        with part.open("ab" if have else "wb") as out:
            have = _copy(answer, out, have, total, file.target.name, progress)
    return not total or have >= total


def _copy(
    answer: Any, out: IO[bytes], have: int, total: int, name: str, progress: Progress | None
) -> int:
    while True:
        try:
            block = answer.read(_BLOCK)
        except http.client.IncompleteRead as error:
            out.write(error.partial)
            raise
        except (TimeoutError, ConnectionError) as error:
            raise _BrokenError(error) from None
        if not block:
            return have
        out.write(block)
        have += len(block)
        if progress:
            progress(name, have, total)


def _is_final(failure: Exception, have: int) -> bool:
    """Whether trying again is pointless: refused, or nothing ever came."""
    if isinstance(failure, urllib.error.HTTPError):
        return failure.code < 500
    return have == 0


def _check(file: PublicFile, part: Path) -> None:
    with part.open("rb") as opened:
        found = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != file.md5:
        part.unlink()
        raise DataError(
            f"{file.target.name} from {file.url} has md5 {found}, but {file.md5} was published; it "
            "was damaged on the way or replaced, and has been removed; try again"
        )


def _unavailable(file: PublicFile, failure: Exception) -> DataError:
    reason = getattr(failure, "reason", None) or failure
    return DataError(
        f"{file.url} cannot be fetched ({reason}). Without a network, put {file.by_hand} by hand "
        f"into {file.target.parent}"
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
