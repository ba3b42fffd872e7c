"""Whether a frame's pixels can be there as claimed, and reading those that are not compressed."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fedvox.client.ingest.reading.elements import UNDEFINED
from fedvox.client.ingest.reading.frames import Frame
from fedvox.client.ingest.reading.header import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT
from fedvox.client.ingest.reading.source import Inflated, opened
from fedvox.client.ingest.reading.tags import Tag
from fedvox.client.ingest.reasons import Quarantined, Reason

NATIVE = frozenset({IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN})
_JPEG = "1.2.840.10008.1.2.4"
COMPRESSED = frozenset(
    {
        "1.2.840.10008.1.2.5",
        *(f"{_JPEG}.{number}" for number in (50, 51, 57, 70, 80, 81, 90, 91, 201, 202, 203)),
    }
)
"""RLE, JPEG (baseline, extended, lossless), JPEG-LS, JPEG 2000 and HTJ2K."""

PIXELS_AT_MOST = 1 << 28
"""Of one frame; mammograms have a tenth of it."""
VOXELS_AT_MOST = 1 << 31
"""Of one file or scan."""
_SUSPECT_BYTES = 64 << 20
_BELIEVABLE_RATIO = 1000
"""A frame above _SUSPECT_BYTES that was compressed further is taken for an attack."""
_ITEM_BYTES = 8


def check_pixels(frame: Frame) -> None:
    """Quarantined where size, bits or encoding cannot be as the header claims."""
    common, pixels = frame.common, frame.pixels
    if pixels is None:
        raise Quarantined(Reason.PIXEL_DATA_DAMAGED, "no pixels")
    area = common.rows * common.columns
    if area > PIXELS_AT_MOST or area * frame.frames > VOXELS_AT_MOST:
        size = f"{common.columns} x {common.rows} x {frame.frames}"
        raise Quarantined(Reason.TOO_LARGE, f"{size} voxels claimed")
    if not math.isfinite(frame.slope * frame.intercept) or not frame.slope:
        raise Quarantined(Reason.PIXEL_DATA_DAMAGED, "rescale slope or intercept is no number")
    _check_bits(frame)
    there = frame.size - pixels.offset
    frame_bytes = area * common.bits_allocated // 8
    if frame.syntax in NATIVE:
        length = min(pixels.length, there) if pixels.length != UNDEFINED else 0
        if frame_bytes * frame.frames > length:
            detail = f"{length} bytes where {frame_bytes * frame.frames} are needed"
            raise Quarantined(Reason.PIXEL_DATA_DAMAGED, detail)
    elif frame.syntax not in COMPRESSED:
        raise Quarantined(Reason.UNSUPPORTED_TRANSFER_SYNTAX, frame.syntax)
    elif pixels.length != UNDEFINED or there < _ITEM_BYTES * (frame.frames + 1):
        raise Quarantined(Reason.PIXEL_DATA_DAMAGED, "fewer fragments than frames")
    elif frame_bytes > max(_SUSPECT_BYTES, there * _BELIEVABLE_RATIO):
        raise Quarantined(Reason.TOO_LARGE, f"{there} bytes claim to hold {frame_bytes}")


def _check_bits(frame: Frame) -> None:
    common, pixels = frame.common, frame.pixels
    if pixels is not None and pixels.tag != Tag.PIXELS:
        wanted = 32 if pixels.tag == Tag.FLOAT_PIXELS else 64
        if common.bits_allocated != wanted or frame.syntax not in NATIVE:
            raise Quarantined(Reason.PIXEL_DATA_DAMAGED, "floating point of another width")
        return
    allocated, stored, high = common.bits_allocated, common.bits_stored, common.high_bit
    if allocated not in (8, 16, 32) or not 0 < stored <= allocated:
        detail = f"{stored} of {allocated} bits"
        raise Quarantined(Reason.PIXEL_DATA_DAMAGED, detail)
    if not stored - 1 <= high < allocated:
        raise Quarantined(Reason.PIXEL_DATA_DAMAGED, f"high bit {high} of {allocated}")


def stored_type(frame: Frame) -> np.dtype[Any]:
    """The type of a frame's pixels as this machine holds them."""
    bits = frame.common.bits_allocated
    if frame.pixels is not None and frame.pixels.tag != Tag.PIXELS:
        return np.dtype(f"f{bits // 8}")
    return np.dtype(f"{'i' if frame.common.signed else 'u'}{bits // 8}")


def read_native(frame: Frame, target: npt.NDArray[Any]) -> None:
    """Fills `target`, contiguous and of `stored_type`, from the file and nothing else."""
    pixels = frame.pixels
    if pixels is None:
        raise Quarantined(Reason.PIXEL_DATA_DAMAGED, "no pixels")
    offset = pixels.offset + (frame.number - 1) * target.nbytes
    swapped = frame.big and target.itemsize == 1 and pixels.vr == b"OW"
    if swapped:
        _read_swapped(frame, target, pixels.offset)
    else:
        _read(frame, offset, target.data.cast("B"))
        if frame.big and target.itemsize > 1:
            target.byteswap(inplace=True)


def read_deflated(frames: Sequence[Frame]) -> list[npt.NDArray[Any]]:
    """Frames of one deflated file, which is inflated once."""
    common, pixels = frames[0].common, frames[0].pixels
    if pixels is None:
        raise Quarantined(Reason.PIXEL_DATA_DAMAGED, "no pixels")
    whole = np.empty((frames[0].frames, common.rows, common.columns), stored_type(frames[0]))
    try:
        with opened(frames[0].path) as file:
            packed = file.read_at(frames[0].start, file.size - frames[0].start)
    except OSError as error:
        raise Quarantined(Reason.UNREADABLE, str(error)) from None
    source = Inflated(packed, pixels.offset + whole.nbytes)
    data = source.read_at(pixels.offset, whole.nbytes)
    if len(data) != whole.nbytes:
        raise Quarantined(Reason.PIXEL_DATA_DAMAGED, f"{len(data)} bytes of {whole.nbytes}")
    whole.data.cast("B")[:] = data
    return [whole[frame.number - 1] for frame in frames]


def _read(frame: Frame, offset: int, target: memoryview) -> None:
    try:
        with opened(frame.path) as file:
            count = os.preadv(file.descriptor, [target], offset)
    except OSError as error:
        raise Quarantined(Reason.UNREADABLE, str(error)) from None
    if count != len(target):
        raise Quarantined(Reason.PIXEL_DATA_DAMAGED, f"{count} bytes of {len(target)}")


def _read_swapped(frame: Frame, target: npt.NDArray[Any], start: int) -> None:
    """Bytes written as big-endian words; a frame of odd length begins within a word."""
    first = (frame.number - 1) * target.nbytes
    odd = first % 2
    count = (odd + target.nbytes + 1) // 2 * 2
    words = np.empty(count, np.uint8)
    _read(frame, start + first - odd, words.data)
    turned = words.view(np.uint16).byteswap().view(np.uint8)
    target[...] = turned[odd : odd + target.nbytes].view(target.dtype).reshape(target.shape)
