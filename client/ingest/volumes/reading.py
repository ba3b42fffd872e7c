"""The reader of volumes and pictures that are not DICOM."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np

from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.scan import PLANAR, Findings, Scan, ScanRef, SetAside, Voxels
from fedvox.client.ingest.volumes.formats import files_of, format_of, head_of, read_volume, stem
from fedvox.client.ingest.volumes.naming import Named, named
from fedvox.client.ingest.volumes.people import About, about
from fedvox.client.ingest.volumes.pictures import is_picture, read_picture
from fedvox.client.ingest.volumes.raster import FILLED, Array, Raster
from fedvox.client.ingest.volumes.tables import FILE_KEYS, Table, read_table

NAME = "volumes"
_TABLES = (".csv", ".tsv")
_BESIDE = (".json", ".raw", ".zraw", ".bval", ".bvec")
"""Files that others refer to and that are not recognised by what is in them."""
_BLOCK = 1 << 20
_MOST_FILE_BYTES = 5 << 30
"""More than any image that is read has, whatever the format."""
_INT16 = np.iinfo(np.int16)


@dataclass(frozen=True)
class _Plan:
    """What `load` needs to know."""

    about: About = field(repr=False)
    picture: bool


def sniff(path: Path, head: bytes) -> bool:
    """Whether the file is a volume, a picture, or lies beside one."""
    beside = path.suffix.lower() in (*_TABLES, *_BESIDE)
    return beside or is_picture(head) or format_of(head) is not None


def find(paths: Sequence[Path]) -> Findings:
    """The images among the files; masks and tables are companions."""
    tables, asides = _tables(paths)
    beside = [path for path in paths if path.suffix.lower() in (*_TABLES, *_BESIDE)]
    others = [named(path) for path in sorted(set(paths) - set(beside))]
    images = [one for one in others if not one.is_mask]
    keys = Counter(image.key for image in images)
    repeated = frozenset(key for key, count in keys.items() if count > 1)
    scans: list[ScanRef] = []
    for image in images:
        try:
            scans.append(_ref(image, tables, repeated))
        except Quarantined as why:
            asides.append(SetAside(why.reason, (image.path,), why.detail))
    refused = {path for aside in asides for path in aside.files}
    masks = [one.path for one in others if one.is_mask]
    companions = tuple(path for path in (*beside, *masks) if path not in refused)
    return Findings(tuple(scans), (), tuple(asides), companions, len(paths))


def load(ref: ScanRef) -> Scan:
    """The scan itself; Quarantined where it cannot be had."""
    plan = ref.plan
    if not isinstance(plan, _Plan):
        raise Quarantined(Reason.UNREADABLE, "found by another reader")
    if plan.picture:
        raster = read_picture(ref.files[0], plan.about.spacing_mm)
    else:
        raster = read_volume(ref.files[0])
    image, filled = _as_image(raster)
    flags = set(plan.about.flags) | raster.flags
    flags |= {FILLED} if filled else set()
    flags |= {PLANAR} if image.shape[3] == 1 and plan.picture else set()
    return Scan(
        image=image,
        affine=raster.affine,
        modality=plan.about.modality,
        patient=plan.about.patient,
        technical=plan.about.technical,
        study_uid=ref.study_uid,
        series_uid=ref.series_uid,
        flags=frozenset(flags),
    )


def content_hash(paths: Iterable[Path], *said: object) -> str:
    """Over the bytes of files and what else was said of them; Quarantined where one is unread."""
    digest = sha256(repr(said).encode())
    for path in paths:
        try:
            if path.stat().st_size > _MOST_FILE_BYTES:
                raise Quarantined(Reason.TOO_LARGE, "a file of more than 5 GiB is not read")
            with path.open("rb") as source:
                while block := source.read(_BLOCK):
                    digest.update(block)
        except OSError as error:
            raise Quarantined(Reason.UNREADABLE, f"{path.name}: {error.strerror}") from None
    return digest.hexdigest()


def _tables(paths: Sequence[Path]) -> tuple[list[Table], list[SetAside]]:
    tables: list[Table] = []
    asides: list[SetAside] = []
    for path in sorted(path for path in paths if path.suffix.lower() in _TABLES):
        try:
            table = read_table(path)
        except Quarantined as why:
            asides.append(SetAside(why.reason, (path,), why.detail))
            continue
        if table is not None:
            tables.append(table)
    return tables, asides


def _ref(image: Named, tables: Sequence[Table], repeated: frozenset[str]) -> ScanRef:
    path = image.path
    picture = is_picture(head_of(path))
    above = [table for table in tables if path.is_relative_to(table.path.parent)]
    if picture and not any(t.key in FILE_KEYS and t.row_of(path) is not None for t in above):
        raise Quarantined(
            Reason.NOT_AN_IMAGE,
            "no table names this picture; list it in a .csv with the columns file and patient",
        )
    known = about(image, above, repeated)
    files = files_of(path)
    return ScanRef(
        reader=NAME,
        kind=known.modality,
        files=files,
        fingerprint=content_hash(files, NAME, known, stem(path)),
        patient=known.patient,
        study_uid=f"{known.patient}/{known.session}",
        series_uid=f"{known.patient}/{known.session}/{image.folder.name}/{stem(path)}",
        plan=_Plan(known, picture),
    )


def _as_image(raster: Raster) -> tuple[Voxels, bool]:
    """Voxels as int16 where nothing is lost by it, else float32; and whether any was filled in."""
    voxels = raster.voxels
    if voxels.dtype.kind in "iu":
        small = voxels.dtype.itemsize < 2 or voxels.dtype == np.int16
        if small or (voxels.min() >= _INT16.min and voxels.max() <= _INT16.max):
            return voxels.astype(np.int16), False
        return voxels.astype(np.float32), False
    with np.errstate(over="ignore"):  # beyond float32 is infinity, and handled as that
        return finite(voxels.astype(np.float32))


def finite(image: Array) -> tuple[Voxels, bool]:
    """NaN and infinity, which mask what was not imaged, become the lowest value there is; and
    whether there were any."""
    known = np.isfinite(image)
    if known.all():
        return image, False
    if not known.any():
        raise Quarantined(Reason.NOT_FINITE, "no voxel of the image is a finite number")
    return np.where(known, image, image[known].min()), True
