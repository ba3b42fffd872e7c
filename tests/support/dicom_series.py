"""DICOM series made for tests: with known voxels and geometry, plain or with any defect."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)

ROOT = "1.2.826.0.1.3680043.10.1511"
CLASSES = {
    "CT": CTImageStorage,
    "MR": MRImageStorage,
    "PT": PositronEmissionTomographyImageStorage,
    "DX": DigitalXRayImageStorageForPresentation,
}
Change = Callable[[int, Dataset], None]


@dataclass(frozen=True)
class Series:
    """A stack of slices along a line."""

    slices: int = 6
    rows: int = 12
    columns: int = 10
    modality: str = "CT"
    orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0)
    first_mm: tuple[float, float, float] = (-50.0, -60.0, 30.0)
    step_mm: tuple[float, float, float] = (0.0, 0.0, 2.5)
    spacing_mm: tuple[float, float] = (0.8, 0.7)
    """Between rows, between columns."""
    number: int = 1
    patient: str = "PAT-1"
    extras: Mapping[str, Any] = field(default_factory=dict)
    """Keyword to value, in every slice."""

    @property
    def uid(self) -> str:
        return f"{ROOT}.{self.number}"

    @property
    def affine(self) -> npt.NDArray[np.float64]:
        """Voxel to RAS+ millimetres, written out by hand."""
        down, across = self.spacing_mm
        lps = np.eye(4)
        lps[:3, 0] = np.multiply(self.orientation[:3], across)
        lps[:3, 1] = np.multiply(self.orientation[3:], down)
        lps[:3, 2] = self.step_mm
        lps[:3, 3] = self.first_mm
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps

    def voxels(self, seed: int = 0) -> npt.NDArray[np.int16]:
        """[z, y, x] stored values."""
        shape = (self.slices, self.rows, self.columns)
        return np.random.default_rng(seed).integers(0, 3000, shape).astype(np.int16)


def datasets(series: Series, voxels: npt.NDArray[Any] | None = None) -> list[FileDataset]:
    """The slices of a series, in the order of their positions."""
    stored = series.voxels() if voxels is None else voxels
    return [_slice(series, index, plane) for index, plane in enumerate(stored)]


def _slice(series: Series, index: int, plane: npt.NDArray[Any]) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CLASSES[series.modality]
    meta.MediaStorageSOPInstanceUID = f"{series.uid}.{index + 1}"
    ds = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    ds.SOPClassUID = meta.MediaStorageSOPClassUID
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.Modality = series.modality
    ds.StudyDate, ds.StudyTime = "20200102", "101112"
    ds.PatientID, ds.PatientName = series.patient, "Test^Patient"
    ds.PatientSex, ds.PatientAge = "F", "061Y"
    ds.Manufacturer, ds.ManufacturerModelName = "fedvox", "phantom"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{ROOT}.0", series.uid
    ds.FrameOfReferenceUID = f"{ROOT}.0.1"
    ds.SeriesNumber, ds.InstanceNumber = series.number, index + 1
    ds.SliceThickness = abs(float(np.linalg.norm(series.step_mm)))
    ds.ImageOrientationPatient = list(series.orientation)
    ds.ImagePositionPatient = [
        float(first + index * step)
        for first, step in zip(series.first_mm, series.step_mm, strict=True)
    ]
    ds.PixelSpacing = list(series.spacing_mm)
    if series.modality == "CT":
        ds.KVP, ds.RescaleIntercept, ds.RescaleSlope = 120, -1024, 1
    set_pixels(ds, plane)
    for keyword, value in series.extras.items():
        setattr(ds, keyword, value)
    return ds


def set_pixels(ds: Dataset, plane: npt.NDArray[Any]) -> None:
    """Makes `plane` the pixels, with bits to match."""
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = plane.shape
    ds.BitsAllocated = ds.BitsStored = plane.itemsize * 8
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(plane.dtype.kind == "i")
    ds.add_new(0x7FE00010, "OW", plane.tobytes() + bytes(plane.nbytes % 2))


def changed(slices: Sequence[FileDataset], change: Change) -> list[FileDataset]:
    """The slices after `change(index, slice)` was made to each."""
    for index, ds in enumerate(slices):
        change(index, ds)
    return list(slices)


def write(folder: Path, slices: Iterable[Dataset], name: str = "slice") -> list[Path]:
    """The slices as files whose names say nothing of their order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, ds in enumerate(slices):
        path = folder / f"{name}-{index * 7919 % 10007:05d}"
        dcmwrite(path, ds, enforce_file_format=True, overwrite=True)
        paths.append(path)
    return paths


def enhanced(series: Series, voxels: npt.NDArray[Any] | None = None) -> FileDataset:
    """The whole series as one multi-frame object, frames in reverse order of position."""
    slices = datasets(series, voxels)[::-1]
    ds = slices[0]
    sop_class = EnhancedCTImageStorage if series.modality == "CT" else EnhancedMRImageStorage
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = sop_class
    ds.NumberOfFrames = len(slices)
    ds.PixelData = b"".join(part.PixelData for part in slices)
    shared, frames = Dataset(), []
    shared.PlaneOrientationSequence = Items([_moved(slices[-1], "ImageOrientationPatient")])
    shared.PixelMeasuresSequence = Items([_moved(slices[-1], "PixelSpacing", "SliceThickness")])
    for part in slices:
        frame = Dataset()
        frame.PlanePositionSequence = Items([_moved(part, "ImagePositionPatient")])
        if "RescaleSlope" in part:
            names = ("RescaleSlope", "RescaleIntercept")
            frame.PixelValueTransformationSequence = Items([_moved(part, *names)])
        frames.append(frame)
    for keyword in ("ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        if keyword in ds:
            delattr(ds, keyword)
    ds.SharedFunctionalGroupsSequence = Items([shared])
    ds.PerFrameFunctionalGroupsSequence = Items(frames)
    return ds


def _moved(source: Dataset, *keywords: str) -> Dataset:
    moved = Dataset()
    for keyword in keywords:
        setattr(moved, keyword, source[keyword].value)
        delattr(source, keyword)
    return moved
