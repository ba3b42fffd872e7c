"""Which volume formats there are, how each is told from its first bytes, and reading any."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.volumes import gipl, metaimage, nifti, nrrd, payload, vti
from fedvox.client.ingest.volumes.raster import Header, Raster

SUFFIXES = (
    ".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".gipl.gz", ".gipl", ".vti",
    ".png", ".jpeg", ".jpg", ".tiff", ".tif",
)  # fmt: skip
"""Of files that hold an image, the longer before the shorter."""
_HEAD_BYTES = 4096
_LONGEST_HEADER = 540
"""Of the formats that are also gzipped."""
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Format:
    """A way to write a volume down."""

    name: str
    is_one: Callable[[bytes], bool]
    """By the first bytes, inflated."""
    read: Callable[[Path], Raster]


def _read(header: Callable[[Path], Header], path: Path) -> Raster:
    try:
        declared = header(path)
    except OSError as error:
        raise Quarantined(Reason.UNREADABLE, f"{path.name}: {error.strerror}") from None
    return payload.read_raster(declared)


FORMATS = (
    Format("nifti", nifti.is_nifti, partial(_read, nifti.read_header)),
    Format("nrrd", nrrd.is_nrrd, partial(_read, nrrd.read_header)),
    Format("metaimage", metaimage.is_metaimage, partial(_read, metaimage.read_header)),
    Format("gipl", gipl.is_gipl, partial(_read, gipl.read_header)),
    Format("vti", vti.is_vti, vti.read_raster),
)


def format_of(head: bytes) -> Format | None:
    """The format of a file that begins like this."""
    if head.startswith(_GZIP):
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, _LONGEST_HEADER)
        except zlib.error:
            return None
    return next((form for form in FORMATS if form.is_one(head)), None)


def head_of(path: Path) -> bytes:
    """The first bytes of a file; none where it cannot be read."""
    try:
        with path.open("rb") as source:
            return source.read(_HEAD_BYTES)
    except OSError:
        return b""


def read_volume(path: Path) -> Raster:
    """The voxels of a file in any of the formats; what it is, its content says."""
    form = format_of(head_of(path))
    if form is None:
        raise Quarantined(Reason.UNREADABLE, f"{path.name}: not a volume, or cut short")
    return form.read(path)


def stem(path: Path | str) -> str:
    """The name of an image file without folder and suffix."""
    name = Path(path).name
    found = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return re.sub(r"\.seg$", "", name[: len(name) - len(found)]) if found else name
