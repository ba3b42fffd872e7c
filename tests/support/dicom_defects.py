"""Series with one defect each, and what has to become of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from dicom_changes import (
    Slices,
    across,
    again,
    along,
    as_is,
    copied_file,
    cut,
    each,
    in_colour,
    nested,
    not_finite,
    one,
    one_larger,
    one_turned,
    other_direction,
    replaced,
    same_again,
    strange_syntax,
    timed,
    without_preamble,
)
from dicom_series import Series, datasets, write
from pydicom.dataset import FileDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

OBLIQUE = (0.8, 0.6, 0.0, 0.0, 0.0, -1.0)


@dataclass(frozen=True)
class Defect:
    """What is done to a good series of eight slices, and what comes of it."""

    name: str
    make: Callable[[Slices], Slices | None]
    reasons: tuple[str, ...] = ()
    scans: int = 0
    raw: Callable[[Sequence[Path]], None] | None = field(default=None)
    """What is done to the files once they are written."""
    variants: tuple[str, ...] = ()
    """Where it can be tried; () for everywhere."""


VARIANTS = {
    "ct-axial": (Series(8), ExplicitVRLittleEndian),
    "mr-oblique": (
        Series(8, modality="MR", orientation=OBLIQUE, step_mm=(-1.2, 1.6, 0.0), number=2),
        ImplicitVRLittleEndian,
    ),
    "ct-coronal": (
        Series(8, orientation=(1, 0, 0, 0, 0, -1), step_mm=(0, 3, 0), number=3),
        ExplicitVRBigEndian,
    ),
    "mr-deflated": (
        Series(8, modality="MR", step_mm=(0, 0, 1.5), number=4),
        DeflatedExplicitVRLittleEndian,
    ),
    "ct-rle": (Series(8, number=5), RLELossless),
}
"""Name -> series and transfer syntax in which each defect is tried."""


def written(folder: Path, defect: Defect, variant: str) -> list[Path]:
    """The series with its defect as files."""
    series, syntax = VARIANTS[variant]
    slices = datasets(series)
    made = defect.make(slices)
    slices = slices if made is None else made
    for ds in slices:
        encode(ds, syntax)
    paths = write(folder, slices)
    if defect.raw:
        defect.raw(paths)
    return paths


def encode(ds: FileDataset, syntax: str) -> None:
    """Makes a slice one of another transfer syntax."""
    if syntax == RLELossless:
        if ds.get("SamplesPerPixel") == 1 and "PixelData" in ds and ds.get("BitsAllocated") == 16:
            stored, ds.BitsStored = ds.BitsStored, 16  # the encoder wants sound headers
            high, ds.HighBit = ds.HighBit, 15
            rows, frames = ds.Rows, ds.get("NumberOfFrames")
            ds.Rows, ds.NumberOfFrames = len(ds.PixelData) // 2 // (ds.Columns or 1), 1
            ds.compress(RLELossless, generate_instance_uid=False)
            ds.BitsStored, ds.HighBit, ds.Rows, ds.NumberOfFrames = stored, high, rows, frames
            if frames is None:
                del ds.NumberOfFrames
        return
    if syntax == ExplicitVRBigEndian and ds.get("BitsAllocated") == 16 and "PixelData" in ds:
        ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
    if syntax == ExplicitVRBigEndian and "FloatPixelData" in ds:
        ds.FloatPixelData = np.frombuffer(ds.FloatPixelData, "<f4").astype(">f4").tobytes()
    ds.file_meta.TransferSyntaxUID = syntax


DEFECTS = [
    Defect("none", as_is, scans=1),
    Defect("a slice is missing", lambda s: s[:3] + s[4:], ("missing-slices",)),
    Defect("three slices are missing", lambda s: s[:2] + s[4:6] + s[7:], ("missing-slices",)),
    Defect("a file twice", as_is, scans=1, raw=copied_file),
    Defect("a slice twice", same_again, scans=1),
    Defect("two slices at one place", again(), ("duplicate-slices",)),
    Defect("uneven", along(0, 0, 0.4), ("uneven-spacing",)),
    Defect("hardly uneven", along(0, 0.03, -0.03, 0.02), scans=1),
    Defect("one slice turned", one_turned, ("mixed-orientations",), scans=1),
    Defect("one slice larger", one_larger, ("mixed-sizes",), scans=1),
    Defect("two stacks", other_direction, scans=2),
    Defect("phases by acquisition", again(8, AcquisitionNumber=7), scans=2),
    Defect("phases by temporal position", again(8, TemporalPositionIdentifier=2), scans=2),
    Defect("phases by echo time", again(8, EchoTime=90), scans=2),
    Defect("phases by image type", again(8, ImageType=["DERIVED", "PRIMARY", "P"]), scans=2),
    Defect("phases by time", timed, scans=2),
    Defect("localiser", each(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), ("localiser",)),
    Defect("scout by name", each(SeriesDescription="t1 survey"), ("localiser",)),
    Defect("screenshot", each(SOPClassUID="1.2.840.10008.5.1.4.1.1.7"), ("secondary-capture",)),
    Defect("text", each(BurnedInAnnotation="YES"), ("burned-in-text",)),
    Defect("ultrasound", each(Modality="US"), ("burned-in-text",)),
    Defect("angiography", each(Modality="XA"), ("unsupported-modality",)),
    Defect("colour", in_colour, ("colour",)),
    Defect("no position", each(ImagePositionPatient=None), ("no-geometry",)),
    Defect("one without position", one(3, ImagePositionPatient=None), ("no-geometry",)),
    Defect("no orientation", each(ImageOrientationPatient=None), ("no-geometry",)),
    Defect("no spacing", each(PixelSpacing=None), ("no-geometry",)),
    Defect("no width", each(PixelSpacing=[0, 0]), ("no-geometry",)),
    Defect("skewed axes", each(ImageOrientationPatient=[1, 0, 0, 0.7, 0.7, 0]), ("no-geometry",)),
    Defect("far away", one(7, ImagePositionPatient=[0, 0, 1e9]), ("no-geometry",)),
    Defect("nobody", each(PatientID=""), ("no-patient",)),
    Defect("two people", one(4, PatientID="SOMEBODY"), ("mixed-patients",)),
    Defect("cut pixels", as_is, ("pixel-data-damaged",), raw=cut(0.93, first=True)),
    Defect("no pixels", each(PixelData=None), ("pixel-data-damaged",)),
    Defect("one without pixels", one(7, PixelData=None), ("pixel-data-damaged",)),
    Defect("no rows", each(Rows=0), ("pixel-data-damaged",)),
    Defect("a billion frames", each(NumberOfFrames=1_000_000_000), ("too-large",)),
    Defect("65535 rows", each(Rows=65535), ("pixel-data-damaged",)),
    Defect("13 bits of 12", each(BitsAllocated=12, BitsStored=13), ("pixel-data-damaged",)),
    Defect("high bit too low", each(HighBit=3), ("pixel-data-damaged",)),
    Defect("slope of zero", each(RescaleSlope=0, RescaleIntercept=0), ("pixel-data-damaged",)),
    Defect("tilted by 15 degrees", across(lambda k: 0.268 * k), scans=1),
    Defect("sheared by 60 degrees", across(lambda k: 1.732 * k), ("gantry-tilt",)),
    Defect("one slice shifted", across(lambda k: 2.0 * (k == 3)), ("gantry-tilt",)),
    Defect("instance numbers shuffled", one(0, InstanceNumber=70), scans=1),
    Defect("no bytes", as_is, ("empty",), raw=replaced(b"")),
    Defect("text file", as_is, ("not-an-image",), raw=replaced(b"patient; date\n" * 9)),
    Defect("preamble alone", as_is, ("unreadable",), raw=replaced(bytes(128) + b"DICM")),
    Defect("cut header", as_is, ("unreadable",), raw=cut(0.2)),
    Defect("sequences in sequences", nested, ("unreadable",), scans=1),
    Defect("no preamble", as_is, scans=1, raw=without_preamble),
    Defect("not finite", not_finite, ("not-finite",)),
    Defect(
        "unheard-of encoding",
        as_is,
        ("unsupported-transfer-syntax",),
        raw=strange_syntax,
        variants=("ct-axial", "mr-oblique", "ct-rle"),
    ),
    Defect("series by nobody's UID", each(SeriesInstanceUID=""), scans=1),
]  # fmt: skip

CASES = [(defect, variant) for defect in DEFECTS for variant in defect.variants or tuple(VARIANTS)]
