"""What may go wrong with a series: changes to its slices, and to the files once written."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from dicom_series import set_pixels
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence as Items

Slices = list[FileDataset]


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


def strange_syntax(paths: Sequence[Path]) -> None:
    """Writes the transfer syntax of a video into every file."""
    for path in paths:
        content = path.read_bytes()
        at = content.index(b"\2\0\x10\0UI")
        length = content[at + 6]
        video = b"1.2.840.10008.1.2.4.102"[:length].ljust(length, b"\0")
        path.write_bytes(content[: at + 8] + video + content[at + 8 + length :])


def copied_file(paths: Sequence[Path]) -> None:
    (paths[0].parent / "copy").write_bytes(paths[0].read_bytes())


def without_preamble(paths: Sequence[Path]) -> None:
    for path in paths:
        path.write_bytes(path.read_bytes()[132:])
