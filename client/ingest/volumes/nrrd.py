"""NRRD, with its voxels attached or in one file beside the header; Slicer's segmentations too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.scan import Affine
from fedvox.client.ingest.volumes.payload import inside
from fedvox.client.ingest.volumes.raster import ASSUMED_GEOMETRY, Header, Segment, lps_affine

_LONGEST = 1 << 20
_TYPES = {
    name: code
    for code, names in {
        "i1": ("signed char", "int8", "int8_t"),
        "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
        "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
        "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
        "i4": ("int", "signed int", "int32", "int32_t"),
        "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
        "i8": ("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"),
        "u8": ("ulonglong", "unsigned long long", "uint64", "uint64_t"),
        "f4": ("float",),
        "f8": ("double",),
    }.items()
    for name in names
}
_TURNED = {
    name: signs
    for signs, names in {
        (1, 1, 1): ("left-posterior-superior", "lps"),
        (-1, -1, 1): ("right-anterior-superior", "ras"),
        (1, -1, 1): ("left-anterior-superior", "las"),
    }.items()
    for name in names
}
"""Factors that turn a named space towards left and back."""
_UNIT_MM = {"m": 1000.0, "cm": 10.0, "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "nm": 1e-6}
_SPATIAL_KINDS = ("domain", "space")

Fields = Mapping[str, str]


def is_nrrd(head: bytes) -> bool:
    """Whether these first bytes are those of a NRRD file."""
    return re.match(rb"NRRD000[1-5]\s", head) is not None


def read_header(path: Path) -> Header:
    """What the file declares."""
    with path.open("rb") as source:
        text = source.read(_LONGEST)
    if not is_nrrd(text):
        raise Quarantined(Reason.UNREADABLE, "not a NRRD file")
    end = re.search(rb"\r?\n\r?\n", text)
    fields = _fields(text[: end.start() if end else len(text)].decode("utf-8", "replace"))
    try:
        return _header(path, fields, end.end() if end else -1)
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise Quarantined(Reason.UNREADABLE, f"the NRRD header makes no sense: {error}") from None


def _fields(text: str) -> dict[str, str]:
    """`key: value` of the format in lower case, `key:=value` of whoever wrote it as it is."""
    fields: dict[str, str] = {}
    for line in text.splitlines()[1:]:
        found = re.match(r"([^:#][^:]*):(=|\s)\s*(.*)$", line)
        if found:
            key, equals, value = found.groups()
            fields[key if equals == "=" else key.strip().lower()] = value.strip()
    return fields


def _header(path: Path, fields: Fields, end: int) -> Header:
    shape = tuple(int(length) for length in fields["sizes"].split())
    if len(shape) != int(fields["dimension"]) or not 2 <= len(shape) <= 4:
        raise Quarantined(Reason.UNREADABLE, f"{len(shape)} axes cannot be channels and space")
    axes = _axes(fields, len(shape))
    encoding = fields.get("encoding", "raw").lower()
    packed, text = encoding in ("gz", "gzip"), encoding in ("txt", "text", "ascii")
    if not packed and not text and encoding != "raw":
        raise Quarantined(Reason.UNSUPPORTED_TRANSFER_SYNTAX, f"NRRD encoding {encoding!r}")
    if int(fields.get("line skip", fields.get("lineskip", "0"))):
        raise Quarantined(Reason.UNREADABLE, "NRRD files with 'line skip' are not read")
    skip = int(fields.get("byte skip", fields.get("byteskip", "0")))
    voxels, begin = _voxels(path, fields, end)
    affine, flags = _affine(fields, axes)
    return Header(
        path=voxels,
        offset=begin if packed else (-1 if skip < 0 else begin + skip),
        skip=max(skip, 0) if packed else 0,
        shape=shape,
        axes=axes,
        dtype=_dtype(fields),
        affine=affine,
        packed=packed,
        text=text,
        segments=_segments(fields),
        flags=flags,
    )


def _dtype(fields: Fields) -> np.dtype[Any]:
    name = fields["type"].lower()
    if name not in _TYPES:
        raise Quarantined(Reason.UNREADABLE, f"voxels of type {name!r} are not read")
    big = fields.get("endian", "little").lower() == "big"
    return np.dtype((">" if big else "<") + _TYPES[name])


def _voxels(path: Path, fields: Fields, end: int) -> tuple[Path, int]:
    """The file that the voxels are in, and where its header ends."""
    name = fields.get("data file", fields.get("datafile", ""))
    if not name:
        if end < 0:
            raise Quarantined(Reason.UNREADABLE, "the NRRD header has no end")
        return path, end
    if name.upper().startswith("LIST") or "%" in name:
        raise Quarantined(Reason.UNREADABLE, "voxels in several files; save them in one")
    return inside(path.parent, name), 0


def _axes(fields: Fields, count: int) -> str:
    """Which axis is x, y, z, which the channels: by directions, by kinds, or the last of four."""
    directions = _words(fields.get("space directions", ""))
    kinds = fields.get("kinds", "").lower().split()
    if len(directions) == count:
        spatial = [word.lower() != "none" for word in directions]
    elif len(kinds) == count:
        spatial = [kind in _SPATIAL_KINDS or kind == "???" for kind in kinds]
    else:
        spatial = [True] * count
    if count == 4 and all(spatial):
        spatial[3] = False
    if not 2 <= sum(spatial) <= 3 or spatial.count(False) > 1:
        raise Quarantined(Reason.UNREADABLE, "the axes cannot be channels and space")
    letters = iter("xyz")
    return "".join(next(letters) if one else "c" for one in spatial)


def _words(value: str) -> list[str]:
    """Vectors in brackets, or the word `none`."""
    return re.findall(r"\([^)]*\)|none", value, flags=re.IGNORECASE)


def _vector(word: str) -> list[float]:
    return [float(number) for number in word.strip("() ").split(",")]


def _affine(fields: Fields, axes: str) -> tuple[Affine, frozenset[str]]:
    words = _words(fields.get("space directions", ""))
    if words:
        columns = [_vector(w) for w, axis in zip(words, axes, strict=True) if axis != "c"]
        known = "space" in fields
    else:
        columns, known = _along_axes(fields, axes), False
    origin = _vector(fields["space origin"]) if "space origin" in fields else [0.0] * len(columns)
    if {len(vector) for vector in columns} != {len(origin)} or not 2 <= len(origin) <= 3:
        raise Quarantined(Reason.NO_GEOMETRY, "directions and origin differ in length")
    space = re.sub("-time$|t$", "", fields.get("space", "lps").lower())
    known = known and space in _TURNED
    turn = np.array(_TURNED.get(space, (1, 1, 1)), dtype=np.float64)[: len(origin)]
    turn = turn * _unit_mm(fields)
    affine = lps_affine(np.array(columns) * turn, np.array(origin) * turn)
    return affine, frozenset() if known else frozenset({ASSUMED_GEOMETRY})


def _along_axes(fields: Fields, axes: str) -> list[list[float]]:
    """Axis vectors from `spacings` alone."""
    sizes = [float(word) for word in fields.get("spacings", "").split()] or [1.0] * len(axes)
    spacings = [size for size, axis in zip(sizes, axes, strict=True) if axis != "c"]
    return [
        [size if at == axis else 0.0 for at in range(len(spacings))]
        for axis, size in enumerate(spacings)
    ]


def _unit_mm(fields: Fields) -> float:
    units = {
        unit.strip().lower() for unit in re.findall(r'"([^"]*)"', fields.get("space units", ""))
    }
    return _UNIT_MM.get(units.pop(), 1.0) if len(units) == 1 else 1.0


def _segments(fields: Fields) -> tuple[Segment, ...]:
    found = []
    for number in range(1 << 12):
        name = fields.get(f"Segment{number}_Name")
        if name is None:
            break
        value = int(fields.get(f"Segment{number}_LabelValue", number + 1))
        found.append(Segment(name, value, int(fields.get(f"Segment{number}_Layer", 0))))
    return tuple(found)
