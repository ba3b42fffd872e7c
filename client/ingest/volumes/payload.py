"""The voxels of a file, after it was made sure that the file can hold them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.volumes.raster import Array, Header, Raster, arrange, check_header

_BLOCK = 1 << 20
_DENSEST = 1032
"""Deflate makes no more bytes than this out of one."""
_SLACK = 1 << 16
_ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS


def read_raster(header: Header) -> Raster:
    """The voxels that a header declares; Quarantined where the file does not hold them."""
    check_header(header)
    try:
        size = header.path.stat().st_size
        numbers = _text(header, size) if header.text else _binary(header, size)
        voxels = _scaled(arrange(numbers, header), header.slope, header.intercept)
    except OSError as error:
        raise Quarantined(Reason.UNREADABLE, f"{header.path.name}: {error.strerror}") from None
    except MemoryError:
        raise Quarantined(Reason.TOO_LARGE, "more voxels than this machine has memory") from None
    return Raster(voxels, header.affine, header.segments, header.flags)


def inflate(source: IO[bytes], skip: int, count: int) -> bytearray:
    """`count` bytes after the first `skip` of a zlib or gzip stream, its checksum verified."""
    have = _bytes_left(source)
    if skip + count > have * _DENSEST + _SLACK:
        raise short(count, have)
    out, filled = bytearray(count), 0
    try:
        for piece in _pieces(source):
            dropped = min(skip, len(piece))
            skip -= dropped
            kept = piece[dropped : dropped + count - filled]
            out[filled : filled + len(kept)] = kept
            filled += len(kept)
            if len(piece) - dropped > len(kept):
                break  # more follows than was declared: nothing that is wanted, and no end in sight
    except zlib.error as error:
        raise Quarantined(Reason.PIXEL_DATA_DAMAGED, f"damaged compression: {error}") from None
    if filled < count:
        raise short(count, filled)
    return out


def _pieces(source: IO[bytes]) -> Iterator[memoryview]:
    """What a stream inflates to, a block at a time; zlib.error where it ends before its end."""
    stream, block = zlib.decompressobj(wbits=_ZLIB_OR_GZIP), source.read(_BLOCK)
    while block:
        yield memoryview(stream.decompress(block, _BLOCK))
        block = stream.unconsumed_tail
        if stream.eof:  # a gzip file may be several, one after another, and padded with zeros
            block = (stream.unused_data or source.read(_BLOCK)).lstrip(b"\0")
            stream = zlib.decompressobj(wbits=_ZLIB_OR_GZIP) if block else stream
        block = block or source.read(_BLOCK)
    if not stream.eof:
        raise zlib.error("the stream is cut short")


def short(wanted: int, found: int) -> Quarantined:
    """The quarantine of a file that holds fewer bytes than it declares."""
    return Quarantined(
        Reason.PIXEL_DATA_DAMAGED, f"declares {wanted:,} bytes of voxels and holds {found:,}"
    )


def inside(folder: Path, name: str) -> Path:
    """The file beside a header that it says its voxels are in; never one in another folder."""
    path = folder / name
    try:
        resolved, home = path.resolve(), folder.resolve()
    except (OSError, ValueError, RuntimeError):
        raise Quarantined(Reason.UNREADABLE, "the header names a file that cannot be") from None
    if "\0" in name or not resolved.is_relative_to(home):
        raise Quarantined(Reason.UNREADABLE, "the header names a file outside its own folder")
    if not resolved.is_file():
        raise Quarantined(Reason.UNREADABLE, f"{name}: the file with the voxels is not there")
    return resolved


def _binary(header: Header, size: int) -> Array:
    count = header.count * header.dtype.itemsize
    with header.path.open("rb") as source:
        if header.packed:
            source.seek(max(header.offset, 0))
            raw = inflate(source, header.skip, count)
        else:
            start = size - count if header.offset < 0 else header.offset
            if start < 0 or size - start < count:
                raise short(count, max(size - max(start, 0), 0))
            source.seek(start)
            raw = bytearray(count)
            if source.readinto(raw) != count:
                raise short(count, 0)
    return np.frombuffer(raw, header.dtype)


def _text(header: Header, size: int) -> Array:
    if size - header.offset < 2 * header.count - 1:
        raise short(2 * header.count - 1, size - header.offset)
    with header.path.open("rb") as source:
        source.seek(header.offset)
        words = source.read().split(maxsplit=header.count)[: header.count]
    if len(words) < header.count:
        raise short(header.count, len(words))
    try:
        return np.array(words).astype(np.float64).astype(header.dtype)
    except ValueError:
        raise Quarantined(Reason.PIXEL_DATA_DAMAGED, "voxels that are not numbers") from None


def _scaled(voxels: Array, slope: float, intercept: float) -> Array:
    if not (np.isfinite(slope) and np.isfinite(intercept)) or slope == 0:
        return voxels  # by the formats' own rule such a slope means that nothing is scaled
    if slope == 1 and intercept == 0:
        return voxels
    return np.asarray(voxels * np.float64(slope) + np.float64(intercept), dtype=np.float32)


def _bytes_left(source: IO[bytes]) -> int:
    here = source.tell()
    end = source.seek(0, 2)
    source.seek(here)
    return end - here
