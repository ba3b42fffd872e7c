"""Synthetic CT series on disk, with headers as long as a scanner's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

_ROOT = "1.2.826.0.1.3680043.10.1511"
_STEP_MM = 2.5


def write_series(folder: Path, series: int, slices: int, size: int = 512) -> int:
    """One folder a series, files in no order; how many bytes they have in all."""
    plane = np.random.default_rng(1).integers(0, 2000, (size, size)).astype(np.int16)
    written = 0
    for number in range(series):
        place = folder / f"series{number:02d}"
        place.mkdir(parents=True, exist_ok=True)
        template = _slice(number + 1, size)
        for index in range(slices):
            template.SOPInstanceUID = f"{_ROOT}.{number + 1}.{index + 1}"
            template.file_meta.MediaStorageSOPInstanceUID = template.SOPInstanceUID
            template.InstanceNumber = index + 1
            template.ImagePositionPatient = [-50.0, -60.0, 30.0 + _STEP_MM * index]
            template.PixelData = np.roll(plane, index + number).tobytes()
            path = place / f"{index * 7919 % 10007:05d}.dcm"
            template.save_as(path, enforce_file_format=True)
            written += path.stat().st_size
    return written


def _slice(number: int, size: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    ds = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    ds.SOPClassUID, ds.Modality = CTImageStorage, "CT"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.StudyDate, ds.StudyTime = "20200102", "101112"
    ds.PatientID, ds.PatientName = f"PAT-{number}", "Test^Patient"
    ds.PatientSex, ds.PatientAge = "F", "061Y"
    ds.Manufacturer, ds.ManufacturerModelName = "fedvox", "phantom"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{_ROOT}.0", f"{_ROOT}.{number}"
    ds.FrameOfReferenceUID = f"{_ROOT}.0.{number}"
    ds.SeriesNumber, ds.SliceThickness = number, _STEP_MM
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = [0.8, 0.8]
    ds.KVP, ds.RescaleIntercept, ds.RescaleSlope = 120, -1024, 1
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows = ds.Columns = size
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    _lengthen(ds)
    return ds


def _lengthen(ds: Dataset) -> None:
    """What a scanner writes besides: about a hundred elements more, private ones and sequences."""
    ds.add_new(0x00090010, "LO", "A MAKER")
    for offset in range(60):
        ds.add_new(0x00091010 + offset, "LO", f"private value {offset}")
    for group in (0x0018, 0x0040):
        for offset in range(15):
            ds.add_new((group << 16) + 0x9900 + offset, "DS", "1.5")
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "T-1", "SRT", "Chest"
    ds.ProcedureCodeSequence = Items([code])
    ds.RequestAttributesSequence = Items([code])
