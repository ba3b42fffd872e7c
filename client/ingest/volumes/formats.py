"""Which volume formats there are, how each is told from its first bytes, and reading any."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.volumes import gipl, metaimage, nifti, nrrd, payload, vti
from fedvox.client.ingest.volumes.raster import Header, Raster, check_header

VOLUMES = (
    ".nii.gz", ".nii", ".hdr.gz", ".hdr", ".nrrd", ".nhdr", ".mha", ".mhd", ".gipl.gz", ".gipl",
    ".vti",
)  # fmt: skip
"""How files of volumes end, the longer before the shorter."""
SUFFIXES = (*VOLUMES, ".png", ".jpeg", ".jpg", ".tiff", ".tif")
"""Those, and how pictures end."""
_HEAD_BYTES = 4096
_LONGEST_HEADER = 540
"""Of the formats that are also gzipped."""
_GZIP = b"\x1f\x8b"
_DETACHED = ("nifti", "nrrd", "metaimage")
"""Formats whose voxels may be in another file."""


@dataclass(frozen=True)
class Format:
    """A way to write a volume down."""

    name: str
    is_one: Callable[[bytes], bool]
    """By the first bytes, inflated."""
    header: Callable[[Path], Header]
    """What the file declares."""
    read: Callable[[Path], Raster]


def _format(name: str, is_one: Callable[[bytes], bool], header: Callable[[Path], Header]) -> Format:
    return Format(name, is_one, header, lambda path: payload.read_raster(header(path)))


FORMATS = (
    _format("nifti", nifti.is_nifti, nifti.read_header),
    _format("nrrd", nrrd.is_nrrd, nrrd.read_header),
    _format("metaimage", metaimage.is_metaimage, metaimage.read_header),
    _format("gipl", gipl.is_gipl, gipl.read_header),
    Format("vti", vti.is_vti, vti.read_header, vti.read_raster),
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
    form = _form(path)
    try:
        return form.read(path)
    except OSError as error:
        raise Quarantined(Reason.UNREADABLE, f"{path.name}: {error.strerror}") from None


def read_header(path: Path) -> Header:
    """Size and geometry of a file in any of the formats, and where its voxels are."""
    form = _form(path)
    try:
        return check_header(form.header(path))
    except OSError as error:
        raise Quarantined(Reason.UNREADABLE, f"{path.name}: {error.strerror}") from None


def files_of(path: Path) -> tuple[Path, ...]:
    """The file, and the one beside it that holds its voxels where there is one."""
    form = format_of(head_of(path))
    if form is None or form.name not in _DETACHED:
        return (path,)
    try:
        voxels = form.header(path).path
    except (Quarantined, OSError):  # reading it will say what is wrong
        return (path,)
    return (path,) if voxels == path else (path, voxels)


def _form(path: Path) -> Format:
    form = format_of(head_of(path))
    if form is None:
        raise Quarantined(Reason.UNREADABLE, f"{path.name}: not a volume, or cut short")
    return form


def stem(path: Path | str) -> str:
    """The name of an image file without folder and suffix."""
    name = Path(path).name
    found = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return re.sub(r"\.seg$", "", name[: len(name) - len(found)]) if found else name
