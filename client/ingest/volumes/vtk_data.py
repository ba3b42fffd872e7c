"""The arrays of VTK's XML files: in words, base64 or raw bytes, plain or in zlib blocks."""

from __future__ import annotations

import binascii
import re
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.volumes.payload import short
from fedvox.client.ingest.volumes.raster import Array
from fedvox.client.ingest.volumes.vtk_xml import Document, Element

_ZLIB = "vtkZLibDataCompressor"
_BASE64_UNIT = re.compile(rb"[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True)
class _Coding:
    """How a file writes numbers down."""

    length: np.dtype[Any]
    """Of the integers before the data."""
    packed: bool


def read_array(document: Document, array: Element, dtype: np.dtype[Any], count: int) -> Array:
    """`count` numbers of an array; Quarantined where it holds fewer, or is damaged."""
    form = array.attributes.get("format", "ascii")
    if form == "ascii":
        return _words(array.text, dtype, count)
    coding = _coding(document)
    wanted = count * dtype.itemsize
    if form == "appended":
        start = int(array.attributes["offset"])
        if not 0 <= start < len(document.appended):
            raise short(wanted, 0)
        stored = document.appended[start:]
        encoded = document.all("AppendedData")[0].attributes.get("encoding") == "base64"
        data = _from_base64(bytes(stored)) if encoded else stored
    else:
        data = _from_base64(array.text.encode("ascii", "replace"))
    raw = _inflated(data, coding, wanted) if coding.packed else _plain(data, coding, wanted)
    return np.frombuffer(raw, dtype, count)


def byte_order(document: Document) -> str:
    """The order of bytes, as numpy writes it."""
    return ">" if document.root.get("byte_order") == "BigEndian" else "<"


def _coding(document: Document) -> _Coding:
    compressor = document.root.get("compressor", "")
    if compressor not in ("", _ZLIB):
        raise Quarantined(Reason.UNSUPPORTED_TRANSFER_SYNTAX, "compressed, but not by zlib")
    wide = document.root.get("header_type", "UInt32") == "UInt64"
    return _Coding(np.dtype(byte_order(document) + ("u8" if wide else "u4")), bool(compressor))


def _words(text: str, dtype: np.dtype[Any], count: int) -> Array:
    words = text.split(maxsplit=count)[:count]
    if len(words) < count:
        raise short(count, len(words))
    return np.array(words).astype(np.float64).astype(dtype)


def _from_base64(text: bytes) -> memoryview:
    """VTK writes the lengths and the data one after the other, each padded for itself."""
    try:
        units = _BASE64_UNIT.findall(b"".join(text.partition(b"<")[0].split()))
        return memoryview(b"".join(binascii.a2b_base64(unit) for unit in units))
    except binascii.Error:
        raise Quarantined(Reason.PIXEL_DATA_DAMAGED, "damaged base64") from None


def _plain(data: memoryview, coding: _Coding, wanted: int) -> memoryview:
    width = coding.length.itemsize
    if len(data) < width:
        raise short(wanted, 0)
    held = min(int(np.frombuffer(data[:width], coding.length)[0]), len(data) - width)
    if held < wanted:
        raise short(wanted, held)
    return data[width : width + wanted]


def _inflated(data: memoryview, coding: _Coding, wanted: int) -> bytearray:
    """Blocks: their number, their length, the length of the last, and what each is packed to."""
    width = coding.length.itemsize
    if len(data) < 3 * width:
        raise short(wanted, 0)
    number, length, last = (int(n) for n in np.frombuffer(data[: 3 * width], coding.length))
    if number > len(data) // width or max(number, 1) * max(length, last) < wanted:
        raise short(wanted, number * length)
    sizes = np.frombuffer(data[3 * width : (3 + number) * width], coding.length)
    out, at = bytearray(), (3 + number) * width
    for size in sizes.tolist():
        out += _block(data[at : at + size], min(max(length, last), wanted - len(out)))
        at += size
        if len(out) >= wanted:
            break
    if len(out) < wanted:
        raise short(wanted, len(out))
    return out


def _block(packed: memoryview, most: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, most)
    except zlib.error as error:
        raise Quarantined(Reason.PIXEL_DATA_DAMAGED, f"damaged compression: {error}") from None
