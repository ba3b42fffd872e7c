"""What the readers of the ingest find and load: references to scans, scans, and the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fedvox.client.ingest.reasons import Reason

Voxels = npt.NDArray[np.float32] | npt.NDArray[np.int16]
Affine = npt.NDArray[np.float64]

TECHNICAL = (
    "modality",
    "kvp_kv",
    "field_strength_t",
    "manufacturer",
    "model",
    "slice_thickness_mm",
    "sex",
    "age_years",
)
"""The attributes that `Scan.technical` may hold, and no other."""

PLANAR = "planar"
"""Flag: a projection; the third axis has one voxel and no depth."""
HEAD = "head"
"""Flag: a head that may show a face."""
GANTRY_TILT = "gantry-tilt"
"""Flag: the slices are sheared, and the affine says how."""
SUV = "suv"
"""Flag: PET voxels are standardised uptake values by body weight."""
HU = "hu"
"""Flag: CT voxels are Hounsfield units, rescaled as the file says."""


@dataclass(frozen=True)
class Scan:
    """One image with its geometry, as it came; identifiers included, for the ingest alone."""

    image: Voxels = field(repr=False)
    """[channels, x, y, z]; not necessarily contiguous in that order. Planar images: z is 1."""
    affine: Affine
    """4 x 4, voxel index to millimetres in RAS+; sheared where the flags say `gantry-tilt`."""
    modality: str
    patient: str = field(repr=False)
    """The raw identifier; never gets further than the ingest."""
    technical: Mapping[str, str | float] = field(default_factory=dict)
    """Names from TECHNICAL; the store coarsens the values."""
    study_uid: str = field(default="", repr=False)
    series_uid: str = field(default="", repr=False)
    frame_of_reference: str = field(default="", repr=False)
    flags: frozenset[str] = frozenset()
    sop_uids: tuple[str, ...] = field(default=(), repr=False)
    """The instance of each slice along z; of a multi-frame image the same one for every slice."""
    frame_numbers: tuple[int, ...] = field(default=(), repr=False)
    """The frame of each slice within its instance, from 1."""


@dataclass(frozen=True)
class ScanRef:
    """A scan that was found and not yet decoded."""

    reader: str
    """The name of the reader that loads it."""
    kind: str
    """Its modality: CT, MR, PT, CR, DX, MG; what a reader of other formats knows of it."""
    files: tuple[Path, ...] = field(repr=False)
    """The files it is read from."""
    fingerprint: str
    """Equal for a re-import of the same files, wherever they lie and in whatever order."""
    shape: tuple[int, ...] = ()
    """[x, y, z] as announced by the headers; () where these do not say."""
    patient: str = field(default="", repr=False)
    study_uid: str = field(default="", repr=False)
    series_uid: str = field(default="", repr=False)
    frame_of_reference: str = field(default="", repr=False)
    sop_uids: tuple[str, ...] = field(default=(), repr=False)
    plan: object = field(default=None, repr=False, compare=False)
    """What the reader needs to load it; can be pickled."""


@dataclass(frozen=True)
class LabelFile:
    """A DICOM object that labels scans: a segmentation, or contours."""

    path: Path = field(repr=False)
    kind: str
    """SEG or RTSTRUCT."""
    patient: str = field(default="", repr=False)
    study_uid: str = field(default="", repr=False)
    series_uid: str = field(default="", repr=False)
    frame_of_reference: str = field(default="", repr=False)


@dataclass(frozen=True)
class SetAside:
    """Files that became no scan, and why."""

    reason: Reason
    files: tuple[Path, ...] = field(repr=False)
    detail: str = field(default="", repr=False)
    """Stays on site."""
    patient: str = field(default="", repr=False)
    series_uid: str = field(default="", repr=False)


@dataclass(frozen=True)
class Findings:
    """All that lies under the given paths; every file is in at least one of the lists."""

    scans: tuple[ScanRef, ...] = ()
    labels: tuple[LabelFile, ...] = ()
    set_aside: tuple[SetAside, ...] = ()
    companions: tuple[Path, ...] = field(default=(), repr=False)
    """Files that belong to others and hold no scan themselves: DICOMDIR, tables, copies."""
    files_read: int = 0


class Reader(Protocol):
    """What reads one family of formats. A module with these functions is one."""

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether the file is of this family, by its first bytes (4096 of them, or all)."""
        ...

    def find(self, paths: Sequence[Path]) -> Findings:
        """What the files that were sniffed hold; never raises for a bad file."""
        ...

    def load(self, ref: ScanRef) -> Scan:
        """The scan itself; Quarantined where it cannot be had."""
        ...


def merged(findings: Iterable[Findings]) -> Findings:
    """Several findings as one."""
    every = tuple(findings)
    return Findings(
        scans=tuple(scan for part in every for scan in part.scans),
        labels=tuple(label for part in every for label in part.labels),
        set_aside=tuple(aside for part in every for aside in part.set_aside),
        companions=tuple(path for part in every for path in part.companions),
        files_read=sum(part.files_read for part in every),
    )
