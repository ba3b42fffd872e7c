"""Labels made for tests: segmentations by highdicom, contours by pydicom, and what is in them."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import numpy.typing as npt
from dicom_series import ROOT, Series, datasets, write
from highdicom.seg import Segmentation, SegmentDescription
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage
from scipy.spatial.transform import Rotation

from fedvox.client.ingest.labels.grid import Grid

_TURNED = Rotation.from_euler("xyz", [10, 20, 30], degrees=True).as_matrix()
OBLIQUE = Series(
    slices=8,
    rows=40,
    columns=36,
    orientation=tuple(_TURNED[:, :2].T.ravel()),
    step_mm=tuple(_TURNED[:, 2] * 2.5),
)
"""Turned about all three axes."""
Masks = npt.NDArray[Any]


def grid_of(series: Series) -> Grid:
    return Grid((series.columns, series.rows, series.slices), series.affine)


def written(folder: Path, series: Series) -> list[FileDataset]:
    """The series in `folder`, with what highdicom wants to know of its source images."""
    slices = datasets(series)
    for ds in slices:
        ds.StudyID, ds.AccessionNumber, ds.PatientBirthDate = "1", "", ""
        ds.ReferringPhysicianName = ""
    write(folder, slices)
    return slices


def write_seg(
    path: Path, images: Sequence[Dataset], masks: Masks, kind: str = "BINARY", **more: Any
) -> Segmentation:
    """A segmentation of `masks` [slice, row, column(, segment)]; segments are called s1, s2, ..."""
    count = masks.shape[3] if masks.ndim == 4 else int(masks.max())
    names = more.pop("names", [f"s{number}" for number in range(1, count + 1)])
    segments = [
        SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=codes.SCT.Liver,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, name in enumerate(names, start=1)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seg = Segmentation(
            source_images=images,
            pixel_array=masks,
            segmentation_type=kind,
            segment_descriptions=segments,
            series_instance_uid=hd.UID(),
            series_number=90,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="fedvox",
            manufacturer_model_name="test",
            software_versions="1",
            device_serial_number="1",
            **more,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        seg.save_as(path)
    return seg


def write_rtstruct(
    path: Path,
    series: Series,
    structures: Mapping[str, Sequence[npt.NDArray[np.float64]]],
    **changes: Any,
) -> Path:
    """Contours [points, 3] in RAS+ millimetres by the name of their structure."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = f"{ROOT}.77.{series.number}"
    ds = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    ds.SOPClassUID, ds.SOPInstanceUID = RTStructureSetStorage, meta.MediaStorageSOPInstanceUID
    ds.Modality, ds.PatientID, ds.PatientName = "RTSTRUCT", series.patient, "Test^Patient"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{ROOT}.0", f"{ROOT}.77"
    ds.StructureSetLabel = "test"
    referenced, study, of_series = Dataset(), Dataset(), Dataset()
    of_series.SeriesInstanceUID = series.uid
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = (
        "1.2.840.10008.3.1.2.3.1",
        f"{ROOT}.0",
    )
    study.RTReferencedSeriesSequence = Items([of_series])
    referenced.FrameOfReferenceUID = f"{ROOT}.0.1"
    referenced.RTReferencedStudySequence = Items([study])
    ds.ReferencedFrameOfReferenceSequence = Items([referenced])
    rois, contours = [], []
    for number, (name, outlines) in enumerate(structures.items(), start=1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ROIGenerationAlgorithm = number, name, "MANUAL"
        roi.ReferencedFrameOfReferenceUID = f"{ROOT}.0.1"
        drawn.ReferencedROINumber = number
        drawn.ContourSequence = Items([_contour(points) for points in outlines])
        rois.append(roi)
        contours.append(drawn)
    ds.StructureSetROISequence, ds.ROIContourSequence = Items(rois), Items(contours)
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    dcmwrite(path, ds, enforce_file_format=True)
    return path


def _contour(points: npt.NDArray[np.float64]) -> Dataset:
    item = Dataset()
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = len(points)
    lps = points * (-1, -1, 1)
    item.ContourData = [f"{number:.6f}" for number in lps.ravel()]
    return item


def on_slice(series: Series, points: npt.ArrayLike, at: float) -> npt.NDArray[np.float64]:
    """Voxel positions [points, 2] in slice `at`, in millimetres."""
    flat = np.asarray(points, dtype=np.float64)
    voxels = np.column_stack([flat, np.full(len(flat), at), np.ones(len(flat))])
    return np.asarray((voxels @ series.affine.T)[:, :3])


def circle(x: float, y: float, radius: float, count: int = 90) -> npt.NDArray[np.float64]:
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.column_stack([x + radius * np.cos(turn), y + radius * np.sin(turn)])


def dice(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))
