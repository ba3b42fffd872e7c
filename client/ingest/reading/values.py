"""Stored pixels as what they mean: Hounsfield units, uptake values, or the scanner's own scale.

Whole numbers stay int16 where all of a scan's fit; anything else becomes float32. MONOCHROME1 is
turned so that more is brighter, but for CT and PET, whose values mean something by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from fedvox.client.ingest.reading.encapsulated import Decoder
from fedvox.client.ingest.reading.frames import Frame
from fedvox.client.ingest.reading.header import DEFLATED
from fedvox.client.ingest.reading.pixels import (
    NATIVE,
    read_deflated,
    read_native,
    stored_type,
)
from fedvox.client.ingest.reading.suv import suv_factors
from fedvox.client.ingest.reading.tags import Tag
from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.scan import Voxels

Array = npt.NDArray[Any]
Planes = Callable[[int, Array], None]
_LEAST, _MOST = -(1 << 15), (1 << 15) - 1
_CHUNK = 8
_THREADS = 2
_WORDS = NATIVE | {"1.2.840.10008.1.2.5"}
"""Whose pixels come as the words of the file, with whatever their unused bits hold."""

_decoder = Decoder()


class _DoesNotFit(Exception):
    """A value outside int16."""


@dataclass(frozen=True)
class Slice:
    """One frame and how its pixels become values."""

    frame: Frame
    slope: float
    intercept: float
    mirror: int | None
    """Stored values are taken from this one, where MONOCHROME1 is turned."""

    @property
    def whole(self) -> bool:
        """Whether whole numbers stay whole, one for one."""
        floating = self.frame.pixels is not None and self.frame.pixels.tag != Tag.PIXELS
        return self.slope == 1 and self.intercept.is_integer() and not floating


def voxels_of(frames: Sequence[Frame]) -> Voxels:
    """The values of the frames, [x, y, z] seen on memory that is [z, y, x]."""
    slices = _slices(frames)
    try:
        volume = _best(slices, _planes(frames)).transpose(2, 1, 0)
    except MemoryError:
        raise Quarantined(Reason.TOO_LARGE, "there is not enough memory for it") from None
    except TypeError:  # numpy will not copy what is decoded into what the header announces
        raise Quarantined(Reason.PIXEL_DATA_DAMAGED, "decoded to another type") from None
    if not np.isfinite(volume).all():
        raise Quarantined(Reason.NOT_FINITE, "NaN or infinity among the voxels")
    return volume


def _best(slices: Sequence[Slice], planes: Planes) -> Array:
    """As int16 if all values fit, else as float32."""
    if all(part.whole and _LEAST <= part.intercept <= _MOST for part in slices):
        with suppress(_DoesNotFit):
            return _filled(slices, planes, np.dtype(np.int16))
    return _filled(slices, planes, np.dtype(np.float32))


def _slices(frames: Sequence[Frame]) -> list[Slice]:
    modality = frames[0].common.modality
    factors = suv_factors(frames) if modality == "PT" else [1.0] * len(frames)
    slices = []
    for frame, factor in zip(frames, factors, strict=True):
        common = frame.common
        turned = common.photometric == "MONOCHROME1" and modality not in ("CT", "PT")
        mirror = (-1 if common.signed else (1 << common.bits_stored) - 1) if turned else None
        slices.append(Slice(frame, frame.slope * factor, frame.intercept * factor, mirror))
    return slices


def _filled(slices: Sequence[Slice], planes: Planes, dtype: np.dtype[Any]) -> Array:
    common = slices[0].frame.common
    volume = np.empty((len(slices), common.rows, common.columns), dtype)
    chunks = [range(at, min(at + _CHUNK, len(slices))) for at in range(0, len(slices), _CHUNK)]
    work = partial(_fill, slices, planes, volume)
    if len(chunks) == 1:
        work(chunks[0])
    else:
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(work, chunks))
    return volume


def _fill(slices: Sequence[Slice], planes: Planes, volume: Array, chunk: Iterable[int]) -> None:
    for index in chunk:
        part, target = slices[index], volume[index]
        stored = stored_type(part.frame)
        if target.dtype == np.int16 and stored.itemsize == 2 and part.mirror is None:
            in_place = target.view(stored)
            planes(index, in_place)
            _shift(part, in_place, target)
        else:
            raw = np.empty(target.shape, stored)
            planes(index, raw)
            _convert(part, raw, target)


def _planes(frames: Sequence[Frame]) -> Planes:
    """What puts the stored pixels of frame number `index` into an array."""
    packed = [index for index, frame in enumerate(frames) if frame.syntax not in NATIVE]
    deflated = [index for index, frame in enumerate(frames) if frame.syntax == DEFLATED]
    decoded: dict[int, Array] = {}
    for _, group in groupby(deflated, key=lambda index: frames[index].path):
        own = list(group)
        decoded |= zip(own, read_deflated([frames[index] for index in own]), strict=True)
    with closing(_decoder.frames([frames[index] for index in packed])) as arrays:
        for index, array in zip(packed, arrays, strict=True):
            decoded[index] = array

    def plane(index: int, target: Array) -> None:
        if index in decoded:
            np.copyto(target, decoded[index], casting="safe")
        else:
            read_native(frames[index], target)

    return plane


def _shift(part: Slice, stored: Array, target: npt.NDArray[np.int16]) -> None:
    """Intercept added where the pixels lie; wrapping sums are right if the result fits."""
    common, intercept = part.frame.common, int(part.intercept)
    bits = common.bits_stored
    least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if common.signed else (0, (1 << bits) - 1)
    if part.frame.syntax in _WORDS:
        _strip(stored, bits, common.high_bit)
    else:
        least, most = _LEAST - 1, _MOST + 1
    if least + intercept < _LEAST or most + intercept > _MOST:
        least, most = int(stored.min()), int(stored.max())
        if least + intercept < _LEAST or most + intercept > _MOST:
            raise _DoesNotFit
    if intercept:
        target += np.int16(intercept)


def _strip(stored: Array, bits: int, high_bit: int) -> None:
    """Takes away what other bits of a word hold, overlays for one, and extends the sign."""
    width = stored.itemsize * 8
    if bits == width:
        return
    if stored.dtype.kind == "i":
        stored <<= width - 1 - high_bit
        stored >>= width - bits
    else:
        if high_bit != bits - 1:
            stored >>= high_bit + 1 - bits
        stored &= (1 << bits) - 1


def _convert(part: Slice, stored: Array, target: Array) -> None:
    """The general way: any stored type to int16 or float32."""
    if stored.dtype.kind == "f":
        values = stored.astype(np.float64)
    else:
        if part.frame.syntax in _WORDS:
            _strip(stored, part.frame.common.bits_stored, part.frame.common.high_bit)
        values = stored.astype(np.int64)
        if part.mirror is not None:
            values = part.mirror - values
    if target.dtype == np.int16:
        values += int(part.intercept)
        if values.min() < _LEAST or values.max() > _MOST:
            raise _DoesNotFit
        target[...] = values
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            target[...] = values * part.slope + part.intercept
