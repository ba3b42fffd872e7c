"""RTSTRUCT files: their structures and the contours of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedvox.client.ingest.labels.canvas import Structure
from fedvox.client.ingest.labels.objects import attribute, read_object, whole
from fedvox.client.ingest.reasons import Quarantined, Reason

_AREAS = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
"""Contours that enclose something; points and open lines do not."""
_FARTHEST_MM = 1e6
_DECIMALS = 3
"""Of a millimetre, by which contours are compared."""

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Outline:
    """A structure by its contours."""

    structure: Structure
    contours: tuple[Points, ...]
    """[points, 3] each, in millimetres, RAS+."""
    frame_of_reference: str = field(default="", repr=False)


def read_outlines(path: Path) -> tuple[Outline, ...]:
    """The structures of an RTSTRUCT file that enclose something."""
    dataset = read_object(path, pixels=False)
    described = {
        whole(item, "ROINumber"): item for item in attribute(dataset, "StructureSetROISequence", ())
    }
    found = []
    for item in attribute(dataset, "ROIContourSequence", ()):
        number = whole(item, "ReferencedROINumber")
        if number not in described:
            raise Quarantined(Reason.UNREADABLE, "contours of a structure that is not described")
        contours = tuple(_without_copies(_contours(item)))
        if contours:
            roi = described[number]
            structure = Structure(number, str(attribute(roi, "ROIName", "")).strip())
            uid = str(attribute(roi, "ReferencedFrameOfReferenceUID", ""))
            found.append(Outline(structure, contours, uid))
    if not found:
        raise Quarantined(Reason.EMPTY, "the file holds no closed contour")
    return tuple(found)


def _contours(roi: Any) -> list[Points]:
    contours = []
    for item in attribute(roi, "ContourSequence", ()):
        if str(attribute(item, "ContourGeometricType", "")) in _AREAS:
            points = _points(item)
            if len(points) >= 3:
                contours.append(points)
    return contours


def _without_copies(contours: list[Points]) -> list[Points]:
    """Of contours with the same points the first alone: a second one would empty what it fills."""
    unique: dict[bytes, Points] = {}
    for points in contours:
        rounded = np.round(points, _DECIMALS) + 0.0  # no negative zeros
        unique.setdefault(rounded[np.lexsort(rounded.T)].tobytes(), points)
    return list(unique.values())


def _points(contour: Any) -> Points:
    try:
        numbers = _numbers(contour)
    except (TypeError, ValueError):
        raise Quarantined(Reason.UNREADABLE, "a contour that is not numbers") from None
    # A comparison with NaN is false: what is not finite is no number here either.
    if len(numbers) % 3 or not (np.abs(numbers) < _FARTHEST_MM).all():
        raise Quarantined(Reason.UNREADABLE, "a contour whose points are not three numbers each")
    if whole(contour, "NumberOfContourPoints", len(numbers) // 3) != len(numbers) // 3:
        raise Quarantined(Reason.UNREADABLE, "a contour that lost some of its points")
    return np.asarray(numbers.reshape(-1, 3) * (-1.0, -1.0, 1.0))


def _numbers(contour: Any) -> npt.NDArray[np.float64]:
    # Half a million objects, one a number, are what takes the time: numpy reads the text itself.
    stored = contour.get_item("ContourData") if "ContourData" in contour else None
    if stored is not None and isinstance(stored.value, bytes):
        return np.array(stored.value.rstrip(b" \0").split(b"\\")).astype(np.float64)
    return np.array([float(number) for number in attribute(contour, "ContourData")])
