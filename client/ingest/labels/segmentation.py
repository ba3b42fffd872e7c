"""DICOM segmentations: binary, fractional and label maps, with gaps and overlaps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fedvox.client.ingest.labels.canvas import Structure
from fedvox.client.ingest.labels.grid import Grid
from fedvox.client.ingest.labels.objects import attribute, read_object, vector, whole
from fedvox.client.ingest.labels.stored import Plane, is_compressed, stored_planes
from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.scan import Affine
from fedvox.client.ingest.volumes.raster import check_affine

_MOST_PIXELS = 1 << 26
_MOST_VOXELS = 1 << 34
_BACKGROUND = "background"


@dataclass(frozen=True)
class Frame:
    """One plane of a segmentation."""

    index: int
    """Within the pixel data, from 0."""
    segment: int
    """The segment it shows; 0 in a label map, which shows all."""
    affine: Affine
    """[column, row, plane] to millimetres in RAS+; the third axis is as thick as a plane."""


@dataclass(frozen=True)
class Segmentation:
    """A segmentation whose planes are not yet decoded."""

    structures: tuple[Structure, ...]
    frames: tuple[Frame, ...]
    columns: int
    rows: int
    is_map: bool
    padding: int
    """In a label map, the value that stands for nothing; 0 does so too."""
    half: float
    """Values from here on are inside: half of the largest fraction."""
    path: Path = field(repr=False)
    dataset: Any = field(repr=False)

    def planes(self, frames: Sequence[Frame]) -> Iterator[tuple[Frame, Plane]]:
        """The frames with their stored values [columns, rows]."""
        stored = stored_planes(self.path, self.dataset, [frame.index for frame in frames])
        for frame, plane in zip(frames, stored, strict=True):
            yield frame, plane.T

    def painted(self, frame: Frame, plane: Plane, values: Mapping[int, int]) -> Plane:
        """A plane with the values of its structures, 0 elsewhere."""
        if not self.is_map:
            return (plane >= self.half) * np.int16(values[frame.segment])
        table = np.zeros(int(plane.max(initial=0)) + 1, dtype=np.int16)
        for number, value in values.items():
            if number < len(table) and number != self.padding:
                table[number] = value
        return table[plane]


def read_segmentation(path: Path, projection: Grid | None = None) -> Segmentation:
    """What a SEG file says of its segments and planes; Quarantined where that makes no sense.

    `projection` is the X-ray image that the file says it was drawn on, pixel for pixel.
    """
    dataset = read_object(path)
    kind = str(attribute(dataset, "SegmentationType", "BINARY"))
    if kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
        raise Quarantined(Reason.UNREADABLE, f"segmentation of type {kind!r}")
    is_map = kind == "LABELMAP"
    columns, rows = whole(dataset, "Columns"), whole(dataset, "Rows")
    groups = list(attribute(dataset, "PerFrameFunctionalGroupsSequence", ()))
    _check_size(dataset, columns, rows, len(groups))
    shared = next(iter(attribute(dataset, "SharedFunctionalGroupsSequence", ())), None)
    affines = [_affine(group, shared, projection) for group in groups]
    if projection is not None and projection.shape[:2] != (columns, rows):
        raise Quarantined(Reason.LABEL_MISMATCH, "it has another size than the image")
    frames = tuple(
        Frame(index, 0 if is_map else _segment(group, shared), affine)
        for index, (group, affine) in enumerate(zip(groups, affines, strict=True))
    )
    structures = _structures(dataset, is_map)
    strange = {f.segment for f in frames} - {s.number for s in structures} - {0}
    if strange:
        raise Quarantined(Reason.UNREADABLE, "a frame shows a segment that is not described")
    most = whole(dataset, "MaximumFractionalValue", 255) if kind == "FRACTIONAL" else 1
    return Segmentation(
        structures=structures,
        frames=frames,
        columns=columns,
        rows=rows,
        is_map=is_map,
        padding=whole(dataset, "PixelPaddingValue", 0) if is_map else 0,
        half=most / 2,
        path=path,
        dataset=dataset,
    )


def _check_size(dataset: Any, columns: int, rows: int, groups: int) -> None:
    frames = whole(dataset, "NumberOfFrames", 1)
    if frames != groups:
        raise Quarantined(Reason.UNREADABLE, f"{frames} frames, but {groups} have a place")
    if not (columns and rows and frames):
        raise Quarantined(Reason.EMPTY, "the segmentation has no pixel")
    if columns * rows > _MOST_PIXELS or columns * rows * frames > _MOST_VOXELS:
        raise Quarantined(Reason.TOO_LARGE, f"{columns}x{rows} pixels in {frames} frames")
    if "PixelData" not in dataset:
        raise Quarantined(Reason.PIXEL_DATA_DAMAGED, "the segmentation has no pixel data")
    bits = whole(dataset, "BitsAllocated", 1)
    if bits not in (1, 8, 16) or whole(dataset, "SamplesPerPixel", 1) != 1:
        raise Quarantined(Reason.UNREADABLE, "pixels of a segmentation that are no numbers")
    if not is_compressed(dataset):
        wanted = (columns * rows * frames * bits + 7) // 8
        if len(dataset.PixelData) < wanted:
            raise Quarantined(
                Reason.PIXEL_DATA_DAMAGED,
                f"declares {wanted:,} bytes of pixels and holds {len(dataset.PixelData):,}",
            )


def _structures(dataset: Any, is_map: bool) -> tuple[Structure, ...]:
    found = []
    for item in attribute(dataset, "SegmentSequence", ()):
        structure = Structure(
            whole(item, "SegmentNumber"), str(attribute(item, "SegmentLabel", ""))
        )
        # A label map may describe its background as a segment like others.
        if not (is_map and structure.name.strip().casefold() == _BACKGROUND):
            found.append(structure)
    if not found:
        raise Quarantined(Reason.EMPTY, "the segmentation describes no segment")
    return tuple(found)


def _segment(group: Any, shared: Any) -> int:
    item = _macro(group, shared, "SegmentIdentificationSequence")
    return whole(item, "ReferencedSegmentNumber")


def _affine(group: Any, shared: Any, projection: Grid | None) -> Affine:
    if projection is not None and not _has(group, shared, "PlanePositionSequence"):
        return projection.affine
    measures = _macro(group, shared, "PixelMeasuresSequence")
    turned = vector(_macro(group, shared, "PlaneOrientationSequence"), "ImageOrientationPatient", 6)
    origin = vector(_macro(group, shared, "PlanePositionSequence"), "ImagePositionPatient", 3)
    between_rows, between_columns = vector(measures, "PixelSpacing", 2)
    thick = next(
        (
            abs(float(vector(measures, keyword, 1)[0]))
            for keyword in ("SpacingBetweenSlices", "SliceThickness")
            if attribute(measures, keyword, 0)
        ),
        1.0,
    )
    affine = np.eye(4)
    affine[:3, 0] = turned[:3] * between_columns
    affine[:3, 1] = turned[3:] * between_rows
    affine[:3, 2] = np.cross(turned[:3], turned[3:]) * thick
    affine[:3, 3] = origin
    affine[:2] *= -1  # DICOM counts towards left and back
    check_affine(affine)
    return affine


def _has(group: Any, shared: Any, keyword: str) -> bool:
    return any(s is not None and attribute(s, keyword, ()) for s in (group, shared))


def _macro(group: Any, shared: Any, keyword: str) -> Any:
    """The item of a functional group, of the frame or of all frames."""
    for source in (group, shared):
        sequence = attribute(source, keyword, ()) if source is not None else ()
        if sequence:
            return sequence[0]
    raise Quarantined(Reason.NO_GEOMETRY, f"a frame lacks {keyword}")
