"""One side's log: a line for everything that happened, chained to the line before and signed.

A line holds sequence, at, kind, its own fields, `previous`, `hash` (see common/chain) and the
`signature` of that hash by the owner's key. The first line names the owner and holds its
certificate, so that a log can be checked by whoever has the consortium's root certificate only.
Nested fields are kept as JSON text: what is hashed has one reading.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from fedvox.common.chain import Link, genesis, linked
from fedvox.common.errors import InputError
from fedvox.common.files import sync_folder, writing
from fedvox.common.identity.keys import PrivateKey, sign

START = genesis("audit")
_TAIL = 1 << 16
"""Lines are shorter than this, but for those that list many sites."""


@dataclass(frozen=True)
class Signed:
    """A line of a log."""

    link: Link
    signature: bytes

    @property
    def fields(self) -> Mapping[str, Any]:
        """What the line says."""
        return self.link.entry

    @property
    def kind(self) -> str:
        """What happened."""
        return str(self.link.entry.get("kind", ""))


class AuditLog:
    """A log that any number of processes of one owner append to."""

    def __init__(self, path: Path, owner: str, certificate_pem: bytes, key: PrivateKey) -> None:
        self._path = path
        self._owner = owner
        self._certificate = certificate_pem.decode()
        self._key = key

    def append(self, kind: str, **fields: object) -> Signed:
        """Adds a line, on the disk when this returns."""
        with writing(self._path), self._opened() as file:
            last = _cut_to_last_whole(file)
            if last is None:
                opened = {"owner": self._owner, "certificate": self._certificate}
                last = self._write(file, None, "opened", opened)
            line = self._write(file, last, kind, fields)
            file.flush()
            os.fsync(file.fileno())
        if line.link.sequence == 2:
            sync_folder(self._path.parent)
        return line

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file

    def _write(
        self, file: BinaryIO, last: Signed | None, kind: str, fields: Mapping[str, object]
    ) -> Signed:
        entry = {"at": _now(), "kind": kind, **{name: _plain(v) for name, v in fields.items()}}
        number, previous = (last.link.sequence + 1, last.link.hash) if last else (1, START)
        link = linked(number, entry, previous)
        line = Signed(link, sign(self._key, link.hash.encode()))
        file.write(as_line(line))
        return line


def read_log(path: Path) -> list[Signed]:
    """The lines of a log; InputError where the file is none, or a line is not one."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    lines = raw.splitlines()
    found = [_parsed(line) for line in lines]
    for number, line in enumerate(found, 1):
        if line is None and not (number == len(found) and not raw.endswith(b"\n")):
            raise InputError(f"{path}: line {number} is not an entry of an audit log")
    return [line for line in found if line is not None]


def as_line(line: Signed) -> bytes:
    """The line as it stands in the file."""
    link, signature = line.link, base64.b64encode(line.signature).decode()
    chained = {"previous": link.previous, "hash": link.hash, "signature": signature}
    text = json.dumps({"sequence": link.sequence, **link.entry, **chained}, ensure_ascii=False)
    return f"{text}\n".encode()


def _parsed(raw: bytes) -> Signed | None:
    try:
        entry = json.loads(raw)
        signature = base64.b64decode(entry.pop("signature"), validate=True)
        number, previous, own = entry.pop("sequence"), entry.pop("previous"), entry.pop("hash")
        return Signed(Link(int(number), entry, str(previous), str(own)), signature)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _cut_to_last_whole(file: BinaryIO) -> Signed | None:
    """The last line; what a process that was killed left of one behind it is cut off."""
    end = file.seek(0, os.SEEK_END)
    window = _TAIL
    while end:
        start = file.seek(max(0, end - window))
        raw = file.read(end - start)
        whole = raw.rfind(b"\n") + 1
        begin = raw.rfind(b"\n", 0, whole - 1) + 1 if whole else 0
        if whole and (begin or not start):
            file.truncate(start + whole)
            file.seek(0, os.SEEK_END)
            line = _parsed(raw[begin:whole])
            if line is None:
                raise InputError(
                    f"{file.name}: its last line is not an entry of an audit log; keep the file "
                    "as evidence, move it away, and a new log begins"
                )
            return line
        if not start:
            file.truncate(0)
            file.seek(0)
            return None
        window *= 2
    return None


def _plain(value: object) -> str | int | float | bool | None:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _now() -> str:
    return datetime.now(tz=UTC).isoformat(timespec="milliseconds")
