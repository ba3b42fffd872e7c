"""MetaImage: .mha, and .mhd with its voxels in a .raw or .zraw file beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.scan import Affine
from fedvox.client.ingest.volumes.payload import inside
from fedvox.client.ingest.volumes.raster import ASSUMED_GEOMETRY, Header, lps_affine

_LONGEST = 1 << 16
_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_MATRIX = ("TransformMatrix", "Rotation", "Orientation")
_ORIGIN = ("Offset", "Position", "Origin")
_SPACING = ("ElementSpacing", "ElementSize")
_CHANNELS = "ElementNumberOfChannels"

Fields = Mapping[str, str]


def is_metaimage(head: bytes) -> bool:
    """Whether these first bytes are those of a MetaImage header."""
    start = head[:2048]
    return re.search(rb"(?m)^\s*NDims\s*=", start) is not None and (
        re.search(rb"(?m)^\s*(DimSize|ObjectType)\s*=", start) is not None
    )


def read_header(path: Path) -> Header:
    """What the file declares."""
    with path.open("rb") as source:
        head = source.read(_LONGEST)
    end = re.search(rb"(?m)^\s*ElementDataFile\s*=[^\n]*\n?", head)
    if not is_metaimage(head) or end is None:
        raise Quarantined(Reason.UNREADABLE, "not a MetaImage file")
    fields = _fields(head[: end.end()].decode("utf-8", "replace"))
    try:
        return _header(path, fields, end.end())
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise Quarantined(Reason.UNREADABLE, f"the MetaImage header: {error}") from None


def _fields(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _header(path: Path, fields: Fields, end: int) -> Header:
    space = tuple(int(length) for length in fields["DimSize"].split())
    if len(space) != int(fields["NDims"]) or not 2 <= len(space) <= 4:
        raise Quarantined(Reason.UNREADABLE, f"{len(space)} axes cannot be channels and space")
    axes, shape = "xyzc"[: len(space)], space
    channels = int(fields.get(_CHANNELS, "1"))
    if channels != 1:  # they lie together, voxel by voxel
        axes, shape = "c" + axes, (channels, *space)
    if axes.count("c") > 1:
        raise Quarantined(Reason.UNREADABLE, "two axes of channels")
    voxels, begin = _voxels(path, fields["ElementDataFile"], end)
    skip = int(fields.get("HeaderSize", "0"))
    affine, known = _affine(fields, len(space))
    return Header(
        path=voxels,
        offset=-1 if skip < 0 else begin + skip,
        shape=shape,
        axes=axes,
        dtype=_dtype(fields),
        affine=affine,
        packed=_said(fields, "CompressedData"),
        text="BinaryData" in fields and not _said(fields, "BinaryData"),
        flags=frozenset() if known else frozenset({ASSUMED_GEOMETRY}),
    )


def _dtype(fields: Fields) -> np.dtype[Any]:
    name = fields["ElementType"].removesuffix("_ARRAY")
    if name not in _TYPES:
        raise Quarantined(Reason.UNREADABLE, f"voxels of type {name!r} are not read")
    big = _said(fields, "BinaryDataByteOrderMSB") or _said(fields, "ElementByteOrderMSB")
    return np.dtype((">" if big else "<") + _TYPES[name])


def _said(fields: Fields, key: str) -> bool:
    return fields.get(key, "")[:1].upper() in ("T", "Y", "1")


def _voxels(path: Path, name: str, end: int) -> tuple[Path, int]:
    """The file that the voxels are in, and where its header ends."""
    if name.upper() == "LOCAL":
        return path, end
    if name.upper().startswith("LIST") or "%" in name:
        raise Quarantined(Reason.UNREADABLE, "voxels in several files; save them in one")
    return inside(path.parent, name), 0


def _affine(fields: Fields, axes: int) -> tuple[Affine, bool]:
    """The geometry, and whether the file says how the voxels lie. A fourth axis has no place."""
    spacing = _numbers(fields, _SPACING, axes) or [1.0] * axes
    matrix = _numbers(fields, _MATRIX, axes * axes)
    origin = _numbers(fields, _ORIGIN, axes) or [0.0] * axes
    kept = min(axes, 3)
    rows = np.reshape(matrix or np.eye(axes), (axes, axes))[:kept, :kept]  # a row is an axis
    columns = [row * size for row, size in zip(rows, spacing[:kept], strict=True)]
    return lps_affine(columns, origin[:kept]), bool(matrix)


def _numbers(fields: Fields, keys: tuple[str, ...], count: int) -> list[float]:
    for key in keys:
        if key in fields:
            numbers = [float(word) for word in fields[key].split()]
            if len(numbers) != count:
                raise Quarantined(Reason.NO_GEOMETRY, f"{key} has {len(numbers)} numbers")
            return numbers
    return []
