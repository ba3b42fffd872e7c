"""Image data in VTK's XML.

VTK names no patient axes. Positions are taken as pointing left, back and up, as ITK writes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.scan import Affine
from fedvox.client.ingest.volumes.raster import (
    ASSUMED_GEOMETRY,
    Header,
    Raster,
    arrange,
    check_header,
    lps_affine,
)
from fedvox.client.ingest.volumes.vtk_data import byte_order, read_array
from fedvox.client.ingest.volumes.vtk_xml import Document, Element, read_document

_TYPES = {
    "Int8": "i1",
    "UInt8": "u1",
    "Int16": "i2",
    "UInt16": "u2",
    "Int32": "i4",
    "UInt32": "u4",
    "Int64": "i8",
    "UInt64": "u8",
    "Float32": "f4",
    "Float64": "f8",
}


def is_vti(head: bytes) -> bool:
    """Whether these first bytes are those of image data in VTK's XML."""
    found = re.search(rb"<VTKFile\s[^>]*>", head[:4096])
    return found is not None and re.search(rb"type\s*=\s*[\"']ImageData[\"']", found[0]) is not None


def read_raster(path: Path) -> Raster:
    """The voxels, which lie in the XML itself or after it."""
    with _sense():
        document = read_document(path)
        array, of_points = _array(document)
        header = check_header(_header(path, document, array, of_points))
        numbers = read_array(document, array, header.dtype, header.count)
    return Raster(arrange(numbers, header), header.affine, flags=header.flags)


def read_header(path: Path) -> Header:
    """What the file declares."""
    with _sense():
        document = read_document(path)
        return _header(path, document, *_array(document))


@contextmanager
def _sense() -> Iterator[None]:
    """What a file leads to that makes none, as a quarantine."""
    try:
        yield
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise Quarantined(Reason.UNREADABLE, f"the VTI file makes no sense: {error}") from None
    except MemoryError:
        raise Quarantined(Reason.TOO_LARGE, "more voxels than this machine has memory") from None


def _array(document: Document) -> tuple[Element, bool]:
    """The active scalars of the points, else of the cells, else the first array; if of points."""
    for kind in ("PointData", "CellData"):
        arrays = [e for e in document.all("DataArray") if e.parent == kind]
        active = {e.attributes.get("Scalars", "") for e in document.all(kind)} - {""}
        named = [e for e in arrays if e.attributes.get("Name") in active]
        if arrays:
            return (named or arrays)[0], kind == "PointData"
    raise Quarantined(Reason.EMPTY, "the file holds no array")


def _header(path: Path, document: Document, array: Element, of_points: bool) -> Header:
    images, pieces = document.all("ImageData"), document.all("Piece")
    if len(images) != 1 or len(pieces) != 1:
        raise Quarantined(Reason.UNREADABLE, "image data in several pieces; save it in one")
    said = images[0].attributes
    extent = _numbers(pieces[0].attributes.get("Extent", said["WholeExtent"]), 6)
    cells = [int(high - low) for low, high in zip(extent[::2], extent[1::2], strict=True)]
    kind = array.attributes["type"]
    if kind not in _TYPES:
        raise Quarantined(Reason.UNREADABLE, f"voxels of type {kind!r} are not read")
    return Header(
        path=path,
        offset=0,
        shape=(
            int(array.attributes.get("NumberOfComponents", "1")),
            *((n + 1 if of_points else max(n, 1)) for n in cells),
        ),
        axes="cxyz",
        dtype=np.dtype(byte_order(document) + _TYPES[kind]),
        affine=_affine(said, np.array(extent[::2]) + (0.0 if of_points else 0.5)),
        flags=frozenset({ASSUMED_GEOMETRY}),
    )


def _affine(said: Mapping[str, str], first: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Affine:
    spacing = _numbers(said.get("Spacing", "1 1 1"), 3)
    origin = _numbers(said.get("Origin", "0 0 0"), 3)
    turned = np.reshape(_numbers(said.get("Direction", "1 0 0 0 1 0 0 0 1"), 9), (3, 3))
    axes = turned * np.array(spacing)
    return lps_affine(axes.T, np.array(origin) + axes @ first)


def _numbers(text: str, count: int) -> list[float]:
    numbers = [float(word) for word in text.split()]
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise ValueError(f"{len(numbers)} numbers where {count} belong")
    return numbers
