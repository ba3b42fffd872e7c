"""Walking the elements of a DICOM data set without decoding what is not asked for.

A general parser spends most of its time on elements that nobody reads. This one steps over them by
their lengths, keeps the raw bytes of those in WANTED, and stops at the pixels. Every length is
checked against what is there before anything is read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from fedvox.client.ingest.reading.source import Source
from fedvox.client.ingest.reading.tags import PIXEL_TAGS, SEQUENCES, WANTED, Tag

Elements = dict[int, "bytes | list[Elements]"]

UNDEFINED: Final = 0xFFFFFFFF
WINDOW = 16_384
_DEEPEST = 16
_ELEMENTS_AT_MOST = 2_000_000
_VALUE_AT_MOST = 65_536
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
"""Value representations whose length has 32 bits."""
VRS = LONG | frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_NONE: frozenset[int] = frozenset()


class Damaged(Exception):
    """The bytes are not a DICOM data set."""

    series_uid = b""
    """Of which series it would have been a part, where that could be read."""


@dataclass(frozen=True, slots=True)
class PixelBytes:
    """Where the pixels of a file stand."""

    tag: int
    vr: bytes
    offset: int
    length: int
    """UNDEFINED where they are encapsulated in fragments."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How elements are written."""

    explicit: bool
    big: bool


class Walk:
    """One pass over a data set."""

    def __init__(self, source: Source, encoding: Encoding, head: bytes = b"") -> None:
        """`head`: the first bytes of the source, where they have been read already."""
        self._source = source
        self._size = source.size
        self._left = _ELEMENTS_AT_MOST
        self._window = head
        self._base = 0
        self.pixels: PixelBytes | None = None
        self._set(encoding)

    def _set(self, encoding: Encoding) -> None:
        order = ">" if encoding.big else "<"
        self._encoding = encoding
        self._explicit = encoding.explicit
        self._head = struct.Struct(f"{order}HH2sH").unpack_from
        self._plain = struct.Struct(f"{order}HHI").unpack_from
        self._long = struct.Struct(f"{order}I").unpack_from

    def dataset(self, position: int) -> Elements:
        """The wanted elements from `position` to the pixels or the end."""
        found: Elements = {}
        try:
            position = self._elements(found, position, self._size, WANTED, 0)
            if self.pixels is None and self._source.read_at(position, 8).strip(b"\0"):
                raise Damaged("the file ends within an element")
        except Damaged as damaged:
            series_uid = found.get(Tag.SERIES_UID)
            damaged.series_uid = series_uid if isinstance(series_uid, bytes) else b""
            raise
        return found

    def _look(self, position: int) -> int:
        """Where in the window `position` stands, with at least 12 bytes or all that are left."""
        self._window = self._source.read_at(position, WINDOW)
        self._base = position
        if len(self._window) < 8:
            raise Damaged("the file ends within an element")
        if len(self._window) < 12:
            self._window += bytes(4)
        return 0

    def _elements(
        self, found: Elements, position: int, end: int, wanted: frozenset[int], depth: int
    ) -> int:
        """Adds the elements up to `end` or an item's delimiter; where they ended."""
        if depth > _DEEPEST:
            raise Damaged("sequences are nested too deeply")
        while position + 8 <= end:
            self._left -= 1
            if self._left < 0:
                raise Damaged("too many elements")
            at = position - self._base
            if at < 0 or at + 12 > len(self._window):
                at = self._look(position)
            group, element, vr, length = self._head(self._window, at)
            tag = group << 16 | element
            start = position + 8
            if not self._explicit or group == 0xFFFE or not vr.isalpha():
                length = self._plain(self._window, at)[2]
                vr = b""
            elif vr in LONG:
                length = self._long(self._window, at + 8)[0]
                start = position + 12
            if depth == 0 and tag in PIXEL_TAGS:
                self.pixels = PixelBytes(tag, vr, start, length)
                return position
            if group == 0xFFFE:
                if tag == _ITEM_END:
                    return start
                raise Damaged("an item outside a sequence")
            if length == UNDEFINED:
                position = self._open_sequence(found, tag, vr, start, end, wanted, depth)
                continue
            position = start + length
            if position > end:
                raise Damaged("an element is longer than what holds it")
            if tag in wanted:
                self._keep(found, tag, start, length, depth)
        return position

    def _keep(self, found: Elements, tag: int, start: int, length: int, depth: int) -> None:
        if tag in SEQUENCES:
            found[tag] = self._items(start, start + length, WANTED, depth)[0]
        elif length <= _VALUE_AT_MOST:
            at = start - self._base
            if at >= 0 and at + length <= len(self._window):
                found[tag] = self._window[at : at + length]
            else:
                found[tag] = self._source.read_at(start, length)

    def _open_sequence(
        self,
        found: Elements,
        tag: int,
        vr: bytes,
        start: int,
        end: int,
        wanted: frozenset[int],
        depth: int,
    ) -> int:
        """Reads or steps over a sequence that ends at its delimiter; where it ended."""
        take = tag in wanted and tag in SEQUENCES
        before = self._encoding
        if vr == b"UN":  # of unknown type: its content is always implicit and little endian
            self._set(Encoding(explicit=False, big=False))
        items, position = self._items(start, end, WANTED if take else _NONE, depth)
        if vr == b"UN":
            self._set(before)
        if take:
            found[tag] = items
        return position

    def _items(
        self, position: int, end: int, wanted: frozenset[int], depth: int
    ) -> tuple[list[Elements], int]:
        items: list[Elements] = []
        while position + 8 <= end:
            self._left -= 1
            if self._left < 0:
                raise Damaged("too many items")
            at = position - self._base
            if at < 0 or at + 12 > len(self._window):
                at = self._look(position)
            group, element, length = self._plain(self._window, at)
            position += 8
            if group << 16 | element == _SEQUENCE_END:
                break
            if group << 16 | element != _ITEM:
                raise Damaged("a sequence holds something that is no item")
            item: Elements = {}
            if length == UNDEFINED:
                position = self._elements(item, position, end, wanted, depth + 1)
            elif position + length > end:
                raise Damaged("an item is longer than its sequence")
            else:
                if wanted:
                    self._elements(item, position, position + length, wanted, depth + 1)
                position += length
            if wanted:
                items.append(item)
        return items, position
