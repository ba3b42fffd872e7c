"""NIfTI-1 and NIfTI-2, in one file or in a pair of header and image, plain or gzipped."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np

from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.scan import Affine
from fedvox.client.ingest.volumes.payload import inflate
from fedvox.client.ingest.volumes.raster import ASSUMED_GEOMETRY, Header

_SIZE = {348: (b"n+1\0", b"ni1\0"), 540: (b"n+2\0", b"ni2\0")}
"""Length of the header by version, and the magic of a single file and of a pair."""
_MAGIC_AT = {348: 344, 540: 4}
_UNIT_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 1e-3}
"""Metres, millimetres, micrometres; 0 is not said."""
_GZIP = b"\x1f\x8b"


def is_nifti(head: bytes) -> bool:
    """Whether these first bytes (inflated) are those of a NIfTI file."""
    size = _length(head)
    if not size or len(head) < _MAGIC_AT[size] + 4:
        return False
    return _magic(head) in _SIZE[size]


def read_header(path: Path) -> Header:
    """What the file declares."""
    with path.open("rb") as source:
        packed = source.read(2) == _GZIP
        source.seek(0)
        head = bytes(inflate(source, 0, 348)) if packed else source.read(540)
        if packed and _length(head) == 540:
            source.seek(0)
            head = bytes(inflate(source, 0, 540))
    if not is_nifti(head):
        raise Quarantined(Reason.UNREADABLE, "not a NIfTI file, or cut short")
    try:
        if _magic(head) == _SIZE[_length(head)][1]:
            image = _image_of(path)
            return _header(image, _parse(head), _is_packed(image), least=0)
        return _header(path, _parse(head), packed, least=_length(head))
    except (ValueError, KeyError, OverflowError, np.linalg.LinAlgError) as error:
        raise Quarantined(Reason.UNREADABLE, f"the NIfTI header makes no sense: {error}") from None
    except Exception as error:  # nibabel has errors of its own, which derive from Exception
        if type(error).__module__.startswith("nibabel"):
            raise Quarantined(Reason.UNREADABLE, f"the NIfTI header: {error}") from None
        raise


def _magic(head: bytes) -> bytes:
    return head[_MAGIC_AT[_length(head)] :][:4]


def _is_packed(path: Path) -> bool:
    with path.open("rb") as source:
        return source.read(2) == _GZIP


def _image_of(path: Path) -> Path:
    """The file beside a header that its voxels are in."""
    name = re.sub(r"\.hdr(\.gz)?$", "", path.name, flags=re.IGNORECASE)
    beside = (path.with_name(name + suffix) for suffix in (".img", ".img.gz", ".IMG"))
    found = next((image for image in beside if image.is_file()), None)
    if found is None:
        raise Quarantined(Reason.UNREADABLE, f"{name}.img: the file with the voxels is not there")
    return found


def _length(head: bytes) -> int:
    """348 or 540 where the first four bytes say so in either order; else 0."""
    if len(head) < 4:
        return 0
    either = struct.unpack("<i", head[:4])[0], struct.unpack(">i", head[:4])[0]
    return next((size for size in either if size in _SIZE), 0)


def _parse(head: bytes) -> Any:
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    size = _length(head)
    kind: Any = Nifti1Header if size == 348 else Nifti2Header
    # Not nibabel.load: it follows the length of every extension, whatever that says.
    return kind(head[:size], check=False)


def _header(path: Path, header: Any, packed: bool, least: int) -> Header:
    shape = tuple(int(length) for length in header.get_data_shape())
    dtype = np.dtype(header.get_data_dtype())
    shape, axes = _axes(shape)
    if dtype.names:  # RGB and RGBA are three or four bytes a voxel
        shape, axes = (len(dtype.names), *shape), "c" + axes
        dtype = np.dtype(np.uint8)
    if dtype.kind not in "iuf" or len(set(axes)) < len(axes) or dtype.itemsize > 8:
        raise Quarantined(Reason.UNREADABLE, f"voxels of type {dtype} are not read")
    offset = int(header["vox_offset"]) or (least + 4 if least else 0)
    if offset < least:
        raise Quarantined(Reason.UNREADABLE, "the voxels would begin within the header")
    slope, intercept = (float(header[key]) for key in ("scl_slope", "scl_inter"))
    coded = bool(header["sform_code"] or header["qform_code"])
    return Header(
        path=path,
        offset=0 if packed else offset,
        skip=offset if packed else 0,
        shape=shape,
        axes=axes,
        dtype=dtype,
        affine=_affine(header),
        packed=packed,
        slope=slope,
        intercept=intercept if np.isfinite(intercept) else 0.0,
        flags=frozenset() if coded else frozenset({ASSUMED_GEOMETRY}),
    )


def _axes(shape: tuple[int, ...]) -> tuple[tuple[int, ...], str]:
    """Time and vector axes as one axis of channels; at most one of them may be long."""
    rest = [length for length in shape[3:] if length != 1]
    if not shape or len(rest) > 1:
        raise Quarantined(Reason.UNREADABLE, f"{len(shape)} axes cannot be channels and space")
    return (*shape[:3], *rest), "xyzc"[: min(len(shape), 3)] + "c" * len(rest)


def _affine(header: Any) -> Affine:
    """By sform, else qform, else voxel size alone, in the units that the header names."""
    affine = np.asarray(header.get_best_affine(), dtype=np.float64).copy()
    affine[:3] *= _UNIT_MM.get(int(header["xyzt_units"]) & 7, 1.0)
    return affine
