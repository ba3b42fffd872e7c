"""Series with one defect each, and what has to become of them."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from dicom_series import Series, datasets, set_pixels, write
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

Slices = list[FileDataset]
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


def each(**values: Any) -> Callable[[Slices], None]:
    """Sets attributes in every slice; None removes them."""

    def make(slices: Slices) -> None:
        for ds in slices:
            _set(ds, values)

    return make


def one(index: int, **values: Any) -> Callable[[Slices], None]:
    """Sets attributes in one slice."""

    def make(slices: Slices) -> None:
        _set(slices[index], values)

    return make


def _set(ds: Dataset, values: dict[str, Any]) -> None:
    for keyword, value in values.items():
        if value is None and keyword in ds:
            delattr(ds, keyword)
        elif value is not None:
            setattr(ds, keyword, value)


def moved(*by_mm: tuple[float, float, float]) -> Callable[[Slices], None]:
    """Shifts slice k by the k-th vector; those beyond stay."""

    def make(slices: Slices) -> None:
        for ds, shift in zip(slices, by_mm, strict=False):
            position = np.asarray(ds.ImagePositionPatient, float) + shift
            ds.ImagePositionPatient = [float(f"{value:.6f}") for value in position]

    return make


def along(*steps: float) -> Callable[[Slices], None]:
    """Shifts slice k along the normal by the k-th share of the slice spacing."""

    def make(slices: Slices) -> None:
        moved(*[tuple(share * _step(slices)) for share in steps])(slices)

    return make


def across(shares: Callable[[int], float]) -> Callable[[Slices], None]:
    """Shifts slice k along its rows by a share of the slice spacing."""

    def make(slices: Slices) -> None:
        row = np.asarray(slices[0].ImageOrientationPatient[:3], float)
        size = np.linalg.norm(_step(slices))
        moved(*[tuple(row * shares(index) * size) for index in range(len(slices))])(slices)

    return make


def _step(slices: Slices) -> Any:
    first, second = (np.asarray(ds.ImagePositionPatient, float) for ds in slices[:2])
    return second - first


def again(number: int = 1, **values: Any) -> Callable[[Slices], Slices]:
    """The series and `number` slices of it once more, with other pixels and UIDs."""

    def make(slices: Slices) -> Slices:
        more = copy.deepcopy(slices[:number])
        for ds in more:
            _renamed(ds)
            set_pixels(ds, ds.pixel_array.astype(np.int16) + 1)
            _set(ds, values)
        return slices + more

    return make


def _renamed(ds: FileDataset) -> None:
    ds.SOPInstanceUID = f"{ds.SOPInstanceUID}.77"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID


def same_again(slices: Slices) -> Slices:
    copied = copy.deepcopy(slices[2])
    _renamed(copied)
    copied.InstanceNumber = 99
    return [*slices, copied]


def timed(slices: Slices) -> Slices:
    """Two phases that nothing but the time of each slice tells apart."""
    both = again(len(slices))(slices)
    for index, ds in enumerate(both):
        ds.ContentTime = f"10{index:02d}00"
    return both


def other_direction(slices: Slices) -> Slices:
    turned = copy.deepcopy(slices)
    row, column = slices[0].ImageOrientationPatient[:3], slices[0].ImageOrientationPatient[3:]
    normal = np.cross(np.asarray(row, float), np.asarray(column, float))
    for index, ds in enumerate(turned):
        _renamed(ds)
        ds.ImageOrientationPatient = [*column, *map(float, normal)]
        ds.ImagePositionPatient = [float(f"{3.0 * index * float(part):.6f}") for part in row]
    return slices + turned


def one_turned(slices: Slices) -> None:
    row, column = slices[-1].ImageOrientationPatient[:3], slices[-1].ImageOrientationPatient[3:]
    slices[-1].ImageOrientationPatient = [*column, *row]


def one_larger(slices: Slices) -> None:
    set_pixels(slices[-1], np.ones((20, 20), np.int16))


def in_colour(slices: Slices) -> None:
    for ds in slices:
        area = ds.Rows * ds.Columns
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
        ds.BitsAllocated = ds.BitsStored = 8
        ds.HighBit, ds.PixelRepresentation = 7, 0
        ds.PixelData = bytes(3 * area)


def not_finite(slices: Slices) -> None:
    for ds in slices:
        plane = np.full((ds.Rows, ds.Columns), np.nan, np.float32)
        _set(ds, {"PixelData": None, "BitsStored": None, "HighBit": None})
        ds.BitsAllocated, ds.FloatPixelData = 32, plane.tobytes()


def nested(slices: Slices) -> None:
    inner = Dataset()
    inner.CodeValue = "X"
    for _ in range(60):
        outer = Dataset()
        outer.add_new(0x00081140, "SQ", Items([inner]))
        inner = outer
    slices[0].add_new(0x00081140, "SQ", Items([inner]))
    for element in slices[0].iterall():
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True


def as_is(slices: Slices) -> None:
    pass


def cut(share: float, first: bool = False) -> Callable[[Sequence[Path]], None]:
    """Cuts files, or the first alone, to a share of their length."""

    def raw(paths: Sequence[Path]) -> None:
        for path in paths[:1] if first else paths:
            content = path.read_bytes()
            path.write_bytes(content[: int(len(content) * share)])

    return raw


def replaced(content: bytes) -> Callable[[Sequence[Path]], None]:
    def raw(paths: Sequence[Path]) -> None:
        for path in paths:
            path.write_bytes(content)

    return raw


def patched(old: bytes, new: bytes) -> Callable[[Sequence[Path]], None]:
    """Changes bytes in every file, as a bad anonymiser would."""

    def raw(paths: Sequence[Path]) -> None:
        for path in paths:
            content = path.read_bytes()
            path.write_bytes(content.replace(old, new, 1))

    return raw


def copied_file(paths: Sequence[Path]) -> None:
    (paths[0].parent / "copy").write_bytes(paths[0].read_bytes())


def without_preamble(paths: Sequence[Path]) -> None:
    for path in paths:
        path.write_bytes(path.read_bytes()[132:])


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
    Defect("series by nobody's UID", each(SeriesInstanceUID=""), scans=1),
]  # fmt: skip

assert len(DEFECTS) * len(VARIANTS) >= 200
