"""The stored planes of a segmentation file; compressed ones are decoded in another process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedvox.client.ingest.labels.objects import attribute, whole
from fedvox.client.ingest.reading.elements import Damaged
from fedvox.client.ingest.reading.encapsulated import Decoder
from fedvox.client.ingest.reading.frames import Shared, frames_of
from fedvox.client.ingest.reading.header import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    read_header,
)
from fedvox.client.ingest.reasons import Quarantined, Reason

Plane = npt.NDArray[Any]

_decoder = Decoder()


def stored_planes(path: Path, dataset: Any, indices: Sequence[int]) -> Iterator[Plane]:
    """Values [row, column] of the frames at these indices."""
    if is_compressed(dataset):
        yield from _decoded(path, indices)
    else:
        yield from _native(dataset, indices)


def is_compressed(dataset: Any) -> bool:
    """Whether the planes are compressed one by one, as far as the file says."""
    return _syntax(dataset) not in ("", IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN)


def _syntax(dataset: Any) -> str:
    return str(attribute(getattr(dataset, "file_meta", None), "TransferSyntaxUID", ""))


def _decoded(path: Path, indices: Sequence[int]) -> Iterator[Plane]:
    try:
        frames = list(frames_of(path, read_header(path), Shared()))
        chosen = [frames[index] for index in indices]
    except (Damaged, IndexError) as error:
        raise Quarantined(Reason.PIXEL_DATA_DAMAGED, str(error)) from None
    except OSError as error:
        raise Quarantined(Reason.UNREADABLE, str(error.strerror)) from None
    with closing(_decoder.frames(chosen)) as planes:
        yield from planes


def _native(dataset: Any, indices: Sequence[int]) -> Iterator[Plane]:
    """One bit, or one or two bytes a pixel; bits run on from frame to frame."""
    rows, columns = whole(dataset, "Rows"), whole(dataset, "Columns")
    bits, data, count = whole(dataset, "BitsAllocated", 1), dataset.PixelData, rows * columns
    order = ">" if _syntax(dataset) == BIG_ENDIAN else "<"
    for index in indices:
        if bits == 1:
            first, skip = divmod(index * count, 8)
            packed = np.frombuffer(data, np.uint8, (skip + count + 7) // 8, first)
            plane = np.unpackbits(packed, bitorder="little")[skip : skip + count]
        else:
            kind = np.dtype(f"{order}u{bits // 8}")
            plane = np.frombuffer(data, kind, count, index * count * kind.itemsize)
        yield plane.reshape(rows, columns)
