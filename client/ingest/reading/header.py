"""What a DICOM file says before its pixels, with values decoded as they are asked for."""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass
from pathlib import Path

from fedvox.client.ingest.reading.elements import (
    LONG,
    UNDEFINED,
    VRS,
    WINDOW,
    Damaged,
    Elements,
    Encoding,
    PixelBytes,
    Walk,
)
from fedvox.client.ingest.reading.source import DEFLATE_RATIO, Inflated, OpenFile, Source, opened
from fedvox.client.ingest.reading.tags import Tag

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"

_FILE_AT_MOST = 20 << 30
"""More than all voxels of the largest scan; comparing and hashing must end."""
_HEADER_AT_MOST = 64 << 20
_HASHED_AT_MOST = 16 << 20
_SAMPLE = 4096


@dataclass(frozen=True, slots=True)
class Header:
    """One file, or one frame of it, as far as it was read."""

    elements: Elements
    big: bool
    syntax: str
    pixels: PixelBytes | None
    size: int
    """Of the data set in bytes; an upper limit where it is deflated."""
    digest: bytes
    """Over header, size and a sample of the pixels."""
    start: int
    """Where the data set begins in the file."""

    def text(self, tag: Tag) -> str:
        """The value as text, "" where absent."""
        value = self.elements.get(tag, b"")
        if not isinstance(value, bytes):
            return ""
        try:
            return value.decode().strip(" \0")
        except UnicodeDecodeError:
            return value.decode("latin-1").strip(" \0")

    def raw(self, tag: Tag) -> bytes:
        """The value's bytes without padding, b"" where absent."""
        value = self.elements.get(tag, b"")
        return value.strip(b" \0") if isinstance(value, bytes) else b""

    def numbers(self, tag: Tag) -> tuple[float, ...]:
        """The numbers of a decimal or integer string; () where one of them is none."""
        value = self.raw(tag)
        if not value:
            return ()
        try:
            numbers = tuple(map(float, value.split(b"\\")))
        except ValueError:
            return ()
        return numbers if all(map(math.isfinite, numbers)) else ()

    def number(self, tag: Tag) -> float | None:
        """The first of `numbers`."""
        numbers = self.numbers(tag)
        return numbers[0] if numbers else None

    def short(self, tag: Tag, default: int = 0) -> int:
        """An unsigned 16-bit value."""
        value = self.elements.get(tag, b"")
        if not isinstance(value, bytes) or len(value) < 2:
            return default
        return int.from_bytes(value[:2], "big" if self.big else "little")

    def items(self, tag: Tag) -> list[Elements]:
        """The items of a sequence."""
        value = self.elements.get(tag, [])
        return value if isinstance(value, list) else []

    def within(self, elements: Elements) -> Header:
        """The same file seen through other elements."""
        return Header(
            elements, self.big, self.syntax, self.pixels, self.size, self.digest, self.start
        )


def read_header(path: Path | str) -> Header:
    """The header of a file; Damaged where it is not DICOM or broken, OSError where unreadable."""
    with opened(path) as file:
        return _header(file)


def looks_like_dicom(head: bytes) -> bool:
    """Whether a file that begins with `head` is DICOM, with its preamble or without."""
    return head[128:132].startswith(b"DICM") or _bare(head)


def _bare(head: bytes) -> bool:
    """Whether a data set begins at once: with group 2 or 8, in some encoding."""
    if len(head) < 16 or head[:2] not in (b"\2\0", b"\0\2", b"\x08\0", b"\0\x08"):
        return False
    if head[4:6] in VRS:
        return True
    order = "<" if head[0] else ">"
    _, element, length = struct.unpack_from(f"{order}HHI", head)
    return bool(element < 0x1200 and length <= 128)


def _header(file: OpenFile) -> Header:
    head = file.read_at(0, WINDOW)
    if not looks_like_dicom(head):
        raise Damaged("neither a DICOM preamble nor a data set at its beginning")
    if file.size > _FILE_AT_MOST:
        raise Damaged(f"{file.size:,} bytes are more than any image needs")
    meta, begin = _meta(head, 132 if head[128:132] == b"DICM" else 0)
    syntax = meta.get(Tag.TRANSFER_SYNTAX, b"").strip(b" \0").decode("latin-1")
    if begin + 8 > file.size:
        raise Damaged("nothing follows the file's preamble")
    source: Source = file
    position, size = begin, file.size
    if syntax == DEFLATED:
        source = Inflated(file.read_at(begin, file.size - begin), _HEADER_AT_MOST)
        position, size, head = 0, (file.size - begin) * DEFLATE_RATIO, b""
    encoding = _encoding(source.read_at(position, 8), syntax)
    walk = Walk(source, encoding, head)
    elements: Elements = {**walk.dataset(position), **meta}
    return Header(
        elements,
        encoding.big,
        syntax or _syntax_of(encoding),
        walk.pixels,
        size,
        _digest(source, position, walk.pixels),
        begin,
    )


def _meta(head: bytes, position: int) -> tuple[dict[int, bytes], int]:
    """The file's own group, always explicit and little endian, and where the data set begins."""
    found: dict[int, bytes] = {}
    while head[position : position + 2] == b"\2\0" and position + 12 <= len(head):
        _, element, vr, length = struct.unpack_from("<HH2sH", head, position)
        position += 8
        if vr in LONG:
            length = int.from_bytes(head[position : position + 4], "little")
            position += 4
        if position + length > len(head):
            raise Damaged("the file's own group is larger than any file needs")
        found[0x00020000 | element] = head[position : position + length]
        position += length
    return found, position


def _encoding(first: bytes, syntax: str) -> Encoding:
    """As the first element shows it: files whose meta group says otherwise are not rare."""
    if len(first) < 8:
        raise Damaged("the data set is empty")
    big = syntax == BIG_ENDIAN or (not syntax and first[0] == 0 and first[1] != 0)
    return Encoding(explicit=first[4:6] in VRS, big=big)


def _syntax_of(encoding: Encoding) -> str:
    if encoding.big:
        return BIG_ENDIAN
    return EXPLICIT if encoding.explicit else IMPLICIT


def _digest(source: Source, start: int, pixels: PixelBytes | None) -> bytes:
    """Tells files apart without reading them whole: header, size and a sample of the pixels."""
    if pixels is None:
        end, middle = source.size, source.size
    elif pixels.length == UNDEFINED:
        end, middle = pixels.offset, (pixels.offset + source.size) // 2
    else:
        end, middle = pixels.offset, pixels.offset + pixels.length // 2
    hasher = hashlib.sha256(str(source.size).encode())
    hasher.update(source.read_at(start, min(end - start, _HASHED_AT_MOST)))
    hasher.update(source.read_at(middle, _SAMPLE))
    return hasher.digest()
