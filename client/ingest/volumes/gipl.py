"""GIPL, plain or gzipped."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.volumes.payload import inflate
from fedvox.client.ingest.volumes.raster import ASSUMED_GEOMETRY, Header, lps_affine

_LENGTH = 256
_MAGIC_AT = 252
_MAGICS = (719555000, 4026526128)
_TYPES = {7: "i1", 8: "u1", 15: ">i2", 16: ">u2", 31: ">u4", 32: ">i4", 64: ">f4", 65: ">f8"}
_GZIP = b"\x1f\x8b"


def is_gipl(head: bytes) -> bool:
    """Whether these first bytes (inflated) are those of a GIPL file."""
    return len(head) >= _LENGTH and struct.unpack_from(">I", head, _MAGIC_AT)[0] in _MAGICS


def read_header(path: Path) -> Header:
    """What the file declares; it can say voxel size and origin, but no direction."""
    with path.open("rb") as source:
        packed = source.read(2) == _GZIP
        source.seek(0)
        head = bytes(inflate(source, 0, _LENGTH)) if packed else source.read(_LENGTH)
    if not is_gipl(head):
        raise Quarantined(Reason.UNREADABLE, "not a GIPL file")
    lengths = struct.unpack_from(">4H", head)
    (kind,) = struct.unpack_from(">H", head, 8)
    spacing = struct.unpack_from(">4f", head, 10)
    origin = struct.unpack_from(">4d", head, 204)
    if kind not in _TYPES:
        raise Quarantined(Reason.UNREADABLE, f"GIPL voxels of type {kind} are not read")
    shape = tuple(max(length, 1) for length in lengths) if any(lengths[:2]) else lengths
    return Header(
        path=path,
        offset=0 if packed else _LENGTH,
        skip=_LENGTH if packed else 0,
        shape=shape,
        axes="xyzc",
        dtype=np.dtype(_TYPES[kind]),
        affine=lps_affine(np.diag(spacing[:3]), origin[:3]),
        packed=packed,
        flags=frozenset({ASSUMED_GEOMETRY}),
    )
