"""DICOM objects that label images: read within limits, and what images they name."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedvox.client.ingest.reasons import Quarantined, Reason

_MOST_BYTES = 2 << 30
_STEP = 1 << 20
_DEFLATED = "1.2.840.10008.1.2.1.99"
_MISSING = object()
_PREAMBLE = 132
_DEEPEST = 12


@dataclass(frozen=True)
class References:
    """The images that a label names as its own."""

    patient: str = field(default="", repr=False)
    frames_of_reference: frozenset[str] = field(default=frozenset(), repr=False)
    series: frozenset[str] = field(default=frozenset(), repr=False)
    instances: frozenset[str] = field(default=frozenset(), repr=False)


def read_object(path: Path, pixels: bool = True) -> Any:
    """The data set of a file; Quarantined where it cannot be read, or is too large to be."""
    from pydicom import dcmread

    try:
        if path.stat().st_size > _MOST_BYTES:
            raise Quarantined(Reason.TOO_LARGE, "a label file of more than 2 GiB is not read")
        _check_deflated(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong with a value shows when it is used
            return dcmread(path, stop_before_pixels=not pixels)
    except Quarantined:
        raise
    except MemoryError:
        raise Quarantined(Reason.TOO_LARGE, "more than this machine has memory") from None
    except Exception as error:  # pydicom raises whatever a damaged file leads it to
        raise Quarantined(Reason.UNREADABLE, f"{path.name}: {error}") from None


def attribute(item: Any, keyword: str, default: Any = _MISSING) -> Any:
    """A value of a data set; Quarantined where it is missing and no default is given."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = getattr(item, keyword, None)
    except Exception as error:  # a value is converted only now, and may be damaged
        raise Quarantined(Reason.UNREADABLE, f"{keyword}: {error}") from None
    if value is None or value == "":
        if default is _MISSING:
            raise Quarantined(Reason.UNREADABLE, f"it lacks {keyword}")
        return default
    return value


def whole(item: Any, keyword: str, default: Any = _MISSING) -> int:
    """A whole number of a data set."""
    value = attribute(item, keyword, default)
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise Quarantined(Reason.UNREADABLE, f"{keyword} is not a number") from None


def vector(item: Any, keyword: str, length: int) -> npt.NDArray[np.float64]:
    """Several finite numbers of one attribute."""
    try:
        value = attribute(item, keyword)
        numbers = np.array([float(n) for n in ([value] if length == 1 else value)])
    except (TypeError, ValueError):
        numbers = np.zeros(0)
    if len(numbers) != length or not np.isfinite(numbers).all():
        raise Quarantined(Reason.NO_GEOMETRY, f"{keyword} is not {length} numbers")
    return numbers


def references_of(path: Path) -> References:
    """What a SEG or RTSTRUCT says of the images it was drawn on."""
    dataset = read_object(path, pixels=False)
    try:
        found = list(_walk(dataset, 0))
    except Quarantined:
        raise
    except Exception as error:
        raise Quarantined(Reason.UNREADABLE, f"{path.name}: {error}") from None
    of = {key: frozenset(value for kind, value in found if kind == key) for key, _ in _SOUGHT}
    own = str(attribute(dataset, "FrameOfReferenceUID", ""))
    return References(
        patient=str(attribute(dataset, "PatientID", "")).strip(),
        frames_of_reference=of["frame"] | ({own} if own else set()),
        series=of["series"],
        instances=of["instance"],
    )


_SOUGHT = (
    ("frame", "ReferencedFrameOfReferenceUID"),
    ("series", "SeriesInstanceUID"),
    ("instance", "ReferencedSOPInstanceUID"),
)
_SERIES_IN = (
    "ReferencedSeriesSequence",
    "RTReferencedStudySequence",
    "RTReferencedSeriesSequence",
    "ContourImageSequence",
    "ReferencedInstanceSequence",
    "ReferencedFrameOfReferenceSequence",
    "StructureSetROISequence",
    "ROIContourSequence",
    "ContourSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "DerivationImageSequence",
    "SourceImageSequence",
)
"""Where the references to images are: not in those to studies, frames of dose, or prior labels."""


def _walk(item: Any, depth: int) -> Iterator[tuple[str, str]]:
    for keyword in _SERIES_IN if depth < _DEEPEST else ():
        for inner in attribute(item, keyword, ()):
            if keyword == "ReferencedFrameOfReferenceSequence":
                yield "frame", str(attribute(inner, "FrameOfReferenceUID", ""))
            if keyword != "RTReferencedStudySequence":  # that reference is to the study itself
                for kind, sought in _SOUGHT:
                    value = str(attribute(inner, sought, ""))
                    if value:
                        yield kind, value
            yield from _walk(inner, depth + 1)


def _check_deflated(path: Path) -> None:
    """A deflated data set is inflated whole by pydicom: only where that stays within the limit."""
    with path.open("rb") as source:
        head = source.read(_PREAMBLE + 12)
        if len(head) < _PREAMBLE + 12 or head[128:132] != b"DICM":
            return
        (length,) = struct.unpack_from("<I", head, _PREAMBLE + 8)
        meta = source.read(min(length, _STEP))
        if _DEFLATED.encode() not in meta or length > _STEP:
            return
        inflater, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
        block = source.read(_STEP)
        while block and not inflater.eof:
            total += len(inflater.decompress(block, _STEP))
            if total > _MOST_BYTES:
                raise Quarantined(Reason.TOO_LARGE, "a label that inflates to more than 2 GiB")
            block = inflater.unconsumed_tail or source.read(_STEP)
