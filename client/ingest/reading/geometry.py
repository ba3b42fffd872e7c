"""Slices as one volume: ordered along their normal, evenly spaced, with an affine.

A stack is accepted when no slice lies further from the even grid than a tenth of the slice
spacing. Slices shifted against each other along a line, as a tilted gantry leaves them, stay as
they are: the third column of the affine is then not perpendicular to the others, and the voxels
are exact where resampling would blur them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedvox.client.ingest.reading.frames import Common, Frame
from fedvox.client.ingest.reading.tags import Tag
from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.scan import GANTRY_TILT, PLANAR, Affine

Vector = npt.NDArray[np.float64]

OFF_GRID = 0.1
"""A slice may lie this share of the slice spacing off the even grid."""
SAME_PLACE_MM = 0.01
"""Slices closer than this along the normal are at one place."""
_TILT_FROM_DEG = 0.5
_TILT_TO_DEG = 46.0
_FARTHEST_MM = 1e5
_COARSEST_MM = 100.0
_UNIT = 1e-2
"""Direction cosines may be off by this."""


@dataclass(frozen=True)
class Stack:
    """Frames in the order of the third axis, and where they lie."""

    frames: tuple[Frame, ...]
    affine: Affine
    flags: frozenset[str] = frozenset()


def axes_of(common: Common) -> tuple[Vector, Vector, Vector]:
    """The directions of a row, of a column, and their normal; Quarantined where there are none.

    Cosines are written with a few digits; what they lack is put right on the row, as ITK does.
    """
    if len(common.orientation) != 6:
        raise Quarantined(Reason.NO_GEOMETRY, "ImageOrientationPatient is missing")
    if max(map(abs, common.orientation)) > 1 + _UNIT:
        raise Quarantined(Reason.NO_GEOMETRY, "the direction cosines are not perpendicular units")
    row, column = np.asarray(common.orientation[:3]), np.asarray(common.orientation[3:])
    lengths = np.array([np.linalg.norm(row), np.linalg.norm(column)])
    if np.abs(lengths - 1).max() > _UNIT or abs(row @ column) > _UNIT:
        raise Quarantined(Reason.NO_GEOMETRY, "the direction cosines are not perpendicular units")
    column = column / lengths[1]
    normal = np.cross(row, column)
    normal /= np.linalg.norm(normal)
    return np.cross(column, normal), column, normal


def spacing_of(common: Common) -> tuple[float, float]:
    """Millimetres between columns and between rows; Quarantined where unknown."""
    spacing = common.spacing_mm
    if len(spacing) != 2 or not all(0 < mm <= _COARSEST_MM for mm in spacing):
        raise Quarantined(Reason.NO_GEOMETRY, "PixelSpacing is missing or makes no sense")
    return spacing[1], spacing[0]


def positions_of(frames: Sequence[Frame]) -> Vector:
    """Where the first voxel of each frame lies; Quarantined where one does not say."""
    positions = [frame.position for frame in frames]
    if any(position is None for position in positions):
        raise Quarantined(Reason.NO_GEOMETRY, "ImagePositionPatient is missing")
    placed = np.asarray(positions, dtype=np.float64)
    if np.abs(placed).max() > _FARTHEST_MM:
        raise Quarantined(Reason.NO_GEOMETRY, "ImagePositionPatient makes no sense")
    return placed


def stacked(frames: Sequence[Frame]) -> Stack:
    """Frames of one layout, each at a place of its own, as a volume."""
    row, column, normal = axes_of(frames[0].common)
    positions = positions_of(frames)
    order = np.argsort(positions @ normal, kind="stable")
    ordered = tuple(frames[index] for index in order)
    positions = positions[order]
    if len(frames) == 1:
        step = normal * _depth_mm(frames[0].common)
        return Stack(ordered, _affine(frames[0].common, row, column, step, positions[0]))
    step = (positions[-1] - positions[0]) / (len(frames) - 1)
    _check_even(positions, normal, step)
    flags = frozenset({GANTRY_TILT}) if _tilt_deg(step, normal) > _TILT_FROM_DEG else frozenset()
    return Stack(ordered, _affine(frames[0].common, row, column, step, positions[0]), flags)


def projection(frame: Frame) -> Stack:
    """A single X-ray image: it has spacing, but no place in the patient.

    Its columns count towards the left and its rows towards the back, as ITK has it.
    """
    across, down = spacing_of(frame.common)
    return Stack((frame,), np.diag([-across, -down, 1.0, 1.0]), frozenset({PLANAR}))


def _affine(common: Common, row: Vector, column: Vector, step: Vector, first: Vector) -> Affine:
    across, down = spacing_of(common)
    affine = np.eye(4)
    affine[:3, :4] = np.stack([row * across, column * down, step, first], axis=1)
    affine[:2] *= -1  # DICOM counts towards left and back, the store towards right and front
    affine += 0.0  # no negative zeros
    return affine


def _depth_mm(common: Common) -> float:
    for tag in (Tag.SPACING_BETWEEN_SLICES, Tag.SLICE_THICKNESS):
        depth = common.header.number(tag)
        if depth and 0 < abs(depth) <= _COARSEST_MM:
            return abs(depth)
    raise Quarantined(Reason.NO_GEOMETRY, "a single slice that does not say how thick it is")


def _tilt_deg(step: Vector, normal: Vector) -> float:
    cosine = abs(float(step @ normal)) / float(np.linalg.norm(step))
    return float(np.degrees(np.arccos(min(cosine, 1.0))))


def _check_even(positions: Vector, normal: Vector, step: Vector) -> None:
    heights = positions @ normal
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    grid = heights[0] + np.arange(len(heights)) * float(step @ normal)
    if np.abs(heights - grid).max() > OFF_GRID * usual:
        _check_missing(gaps)
        raise Quarantined(
            Reason.UNEVEN_SPACING, f"gaps from {gaps.min():.3f} to {gaps.max():.3f} mm"
        )
    if _tilt_deg(step, normal) > _TILT_TO_DEG:
        raise Quarantined(Reason.GANTRY_TILT, f"sheared by {_tilt_deg(step, normal):.0f} degrees")
    line = positions[0] + np.arange(len(heights))[:, None] * step
    shift = float(np.linalg.norm(positions - line, axis=1).max())
    if shift > max(OFF_GRID * usual, SAME_PLACE_MM) * 2:
        raise Quarantined(Reason.GANTRY_TILT, f"slices shifted by up to {shift:.2f} mm")


def _check_missing(gaps: Vector) -> None:
    """Quarantined where every gap is a whole number of slices."""
    for unit in (float(np.median(gaps)), float(gaps.min())):
        whole = np.rint(gaps / unit)
        if whole.max() >= 2 and np.abs(gaps - whole * unit).max() <= 2 * OFF_GRID * unit:
            lack = int(whole.sum()) - len(gaps)
            raise Quarantined(Reason.MISSING_SLICES, f"{lack} slices are missing")
