"""Frames: each image of a file with what is needed to place, tell apart and decode it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fedvox.client.ingest.reading.elements import Damaged, Elements, PixelBytes
from fedvox.client.ingest.reading.header import Header
from fedvox.client.ingest.reading.tags import DIMENSIONS_AT_MOST, PHASE_TAGS, Tag

Triple = tuple[float, float, float]
_FRAMES_AT_MOST = 65_536
_HU = (b"", b"HU")

_COMMON_TAGS = (
    Tag.PATIENT_ID,
    Tag.STUDY_UID,
    Tag.SERIES_UID,
    Tag.FRAME_OF_REFERENCE,
    Tag.SOP_CLASS,
    Tag.MEDIA_SOP_CLASS,
    Tag.MODALITY,
    Tag.IMAGE_TYPE,
    Tag.FRAME_TYPE,
    Tag.STUDY_DESCRIPTION,
    Tag.SERIES_DESCRIPTION,
    Tag.BODY_PART,
    Tag.BURNED_IN,
    Tag.ORIENTATION,
    Tag.PIXEL_SPACING,
    Tag.IMAGER_PIXEL_SPACING,
    Tag.SLICE_THICKNESS,
    Tag.SPACING_BETWEEN_SLICES,
    Tag.ROWS,
    Tag.COLUMNS,
    Tag.SAMPLES,
    Tag.PHOTOMETRIC,
    Tag.BITS_ALLOCATED,
    Tag.BITS_STORED,
    Tag.HIGH_BIT,
    Tag.PIXEL_REPRESENTATION,
    Tag.MANUFACTURER,
    Tag.MODEL,
    Tag.KVP,
    Tag.FIELD_STRENGTH,
    Tag.SEX,
    Tag.AGE,
    Tag.BIRTH_DATE,
    Tag.STUDY_DATE,
    Tag.SERIES_DATE,
    Tag.SERIES_TIME,
    Tag.WEIGHT_KG,
    Tag.NUMBER_OF_SLICES,
    Tag.UNITS,
    Tag.SUV_TYPE,
    Tag.DECAY_CORRECTION,
    Tag.PHILIPS_CREATOR,
    Tag.PHILIPS_SUV_FACTOR,
    Tag.PHILIPS_ACTIVITY_FACTOR,
    Tag.TIMEZONE,
)
"""As a rule equal in all files of a series, and then kept once."""


@dataclass(frozen=True, slots=True, eq=False)
class Common:
    """What many frames share; two of them are the same only if they are one object."""

    header: Header
    """Of the first file that said so, reduced to what is shared."""
    patient: str
    study_uid: str
    series_uid: str
    frame_of_reference: str
    sop_class: str
    modality: str
    image_type: tuple[str, ...]
    orientation: tuple[float, ...]
    """Direction cosines of a row and of a column, towards left, back and head; or ()."""
    spacing_mm: tuple[float, ...]
    """Between rows and between columns; or ()."""
    rows: int
    columns: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image of a file."""

    path: Path
    syntax: str
    big: bool
    start: int
    """Where the data set begins in the file."""
    size: int
    pixels: PixelBytes | None
    number: int
    """From 1 within the file."""
    frames: int
    """In the file, as it claims."""
    sop_uid: str
    position: Triple | None
    slope: float
    intercept: float
    """Not finite, like the slope, where what the file says of it is no number."""
    rescaled: bool
    """Whether the file says how stored values are rescaled, and to Hounsfield units if a CT."""
    phase: tuple[bytes, ...]
    """Values of PHASE_TAGS, then the frame's index in each dimension."""
    acquired: bytes
    """Date of the acquisition, for PET."""
    digest: bytes
    common: Common


class Shared:
    """Hands out one Common for all headers that agree in it."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Common] = {}
        self._phases: dict[tuple[bytes, ...], tuple[bytes, ...]] = {}

    def of(self, header: Header) -> Common:
        """The Common of a header."""
        elements = header.elements
        key = (header.big, *[_bytes(elements.get(tag)) for tag in _COMMON_TAGS])
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = _common(header)
        return found

    def phase(self, header: Header) -> tuple[bytes, ...]:
        """The values of PHASE_TAGS and the indices in each dimension."""
        elements = header.elements
        longest = 4 * DIMENSIONS_AT_MOST
        indices = _bytes(elements.get(Tag.DIMENSIONS))[:longest].ljust(longest, b"\0")
        phase = (
            *[_bytes(elements.get(tag)) for tag in PHASE_TAGS],
            *[indices[at : at + 4] for at in range(0, longest, 4)],
        )
        return self._phases.setdefault(phase, phase)


def frames_of(path: Path, header: Header, shared: Shared) -> Iterator[Frame]:
    """The frames of a file: one, or one an item of its functional groups; Damaged if not all."""
    count = max(int(header.number(Tag.FRAMES) or 1), 1)
    groups = header.items(Tag.FRAME_GROUPS)
    if not groups:
        if count > 1:  # one position cannot be that of all frames
            header = header.within({**header.elements, Tag.POSITION: b""})
        yield _frame(path, header, shared, 1, count)
        return
    if len(groups) != count or count > _FRAMES_AT_MOST:
        raise Damaged(f"{count} frames announced, {len(groups)} described")
    everywhere = {**header.elements}
    for item in header.items(Tag.SHARED_GROUPS):
        everywhere.update(_flat(item))
    for group in (Tag.FRAME_GROUPS, Tag.SHARED_GROUPS):
        everywhere.pop(group, None)
    for number, item in enumerate(groups, start=1):
        own = header.within({**everywhere, **_flat(item)})
        yield _frame(path, own, shared, number, count)


def _flat(item: Elements) -> Elements:
    """The elements of a functional group's macros, without their sequences."""
    flat: Elements = {}
    for tag, value in item.items():
        if isinstance(value, list) and tag != Tag.RADIOPHARMACEUTICAL:
            for inner in value:
                flat.update(_flat(inner))
        else:
            flat[tag] = value
    return flat


def _frame(path: Path, header: Header, shared: Shared, number: int, count: int) -> Frame:
    position = header.numbers(Tag.POSITION)
    return Frame(
        path=path,
        syntax=header.syntax,
        big=header.big,
        start=header.start,
        size=header.size,
        pixels=header.pixels,
        number=number,
        frames=count,
        sop_uid=header.text(Tag.SOP_UID),
        position=(position[0], position[1], position[2]) if len(position) == 3 else None,
        slope=_rescale(header, Tag.RESCALE_SLOPE, 1.0),
        intercept=_rescale(header, Tag.RESCALE_INTERCEPT, 0.0),
        rescaled=bool(header.raw(Tag.RESCALE_SLOPE)) and header.raw(Tag.RESCALE_TYPE) in _HU,
        phase=shared.phase(header),
        acquired=header.raw(Tag.ACQUISITION_DATE),
        digest=header.digest,
        common=shared.of(header),
    )


def _rescale(header: Header, tag: Tag, default: float) -> float:
    number = header.number(tag)
    if number is not None:
        return number
    return math.nan if header.raw(tag) else default


def _common(header: Header) -> Common:
    spacing = header.numbers(Tag.PIXEL_SPACING) or header.numbers(Tag.IMAGER_PIXEL_SPACING)
    stored = header.short(Tag.BITS_STORED) or header.short(Tag.BITS_ALLOCATED)
    wanted = {*_COMMON_TAGS, Tag.RADIOPHARMACEUTICAL}
    kept: Elements = {tag: header.elements[tag] for tag in wanted if tag in header.elements}
    return Common(
        header=header.within(kept),
        patient=header.text(Tag.PATIENT_ID),
        study_uid=header.text(Tag.STUDY_UID),
        series_uid=header.text(Tag.SERIES_UID),
        frame_of_reference=header.text(Tag.FRAME_OF_REFERENCE),
        sop_class=header.text(Tag.SOP_CLASS) or header.text(Tag.MEDIA_SOP_CLASS),
        modality=header.text(Tag.MODALITY).upper(),
        image_type=tuple(
            part.strip().upper()
            for tag in (Tag.IMAGE_TYPE, Tag.FRAME_TYPE)
            for part in header.text(tag).split("\\")
        ),
        orientation=header.numbers(Tag.ORIENTATION),
        spacing_mm=spacing,
        rows=header.short(Tag.ROWS),
        columns=header.short(Tag.COLUMNS),
        samples=header.short(Tag.SAMPLES, 1),
        photometric=header.text(Tag.PHOTOMETRIC).upper(),
        bits_allocated=header.short(Tag.BITS_ALLOCATED),
        bits_stored=stored,
        high_bit=header.short(Tag.HIGH_BIT, max(stored - 1, 0)),
        signed=header.short(Tag.PIXEL_REPRESENTATION) == 1,
    )


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""
