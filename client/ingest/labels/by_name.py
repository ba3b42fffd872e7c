"""Masks and the scans that they are called after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedvox.client.ingest.scan import ScanRef
from fedvox.client.ingest.volumes.naming import (
    Named,
    distance,
    entities,
    named,
    patient_key,
    structure_of,
)
from fedvox.client.ingest.volumes.reading import NAME

_SEPARATORS = "_-."


@dataclass(frozen=True)
class Called:
    """A scan that a mask is called after."""

    scan: ScanRef = field(repr=False)
    structure: str
    """What the rest of the mask's name says that it shows; empty where there is no rest."""


Names = dict[str, list[tuple[ScanRef, Named]]]


def names_of(scans: Iterable[ScanRef]) -> Names:
    """All names that a mask may have in common with each scan."""
    names: Names = {}
    for scan in scans:
        for image, name in _names(scan):
            names.setdefault(name, []).append((scan, image))
    return names


def called_after(mask: Named, names: Names) -> list[Called]:
    """The scans that are meant: by the longest name in common, and of these the nearest.

    Where it is more than one, only the geometry can tell.
    """
    hits: dict[int, tuple[int, int, Called]] = {}
    for name in _parts(mask):
        for scan, image in names.get(name, ()):
            structure = structure_of(mask, image)
            if structure is not None:
                hit = len(structure), distance(mask, image), Called(scan, structure)
                hits[id(scan)] = min(hits.get(id(scan), hit), hit, key=lambda it: it[:2])
    best = min((hit[:2] for hit in hits.values()), default=(0, 0))
    return [called for *rank, called in hits.values() if tuple(rank) == best]


def _names(scan: ScanRef) -> Iterator[tuple[Named, str]]:
    if scan.reader == NAME:
        image = named(scan.files[0])
        subject = entities(image.path).get("sub")
        for name in {image.key, patient_key(image.key), *([f"sub-{subject}"] if subject else [])}:
            yield image, name
        return
    # A DICOM series is called by its patient, by a UID, or by the folder that it fills.
    folders = {path.parent for path in scan.files}
    folder = next(iter(folders)) if len(folders) == 1 else Path()
    for name in {scan.series_uid, scan.study_uid, scan.patient, folder.name} - {""}:
        yield Named(folder / name, name, is_mask=False), name


def _parts(mask: Named) -> Sequence[str]:
    """The beginnings of a mask's name that may be a scan's whole name."""
    key, subject = mask.key, entities(mask.path).get("sub")
    cuts = [key[:at] for at, letter in enumerate(key) if letter in _SEPARATORS]
    return tuple(dict.fromkeys([key, *cuts, *([f"sub-{subject}"] if subject else [])]))
