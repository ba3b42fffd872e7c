"""From the frames of a series to scans that can be loaded, and what is set aside of it."""

from __future__ import annotations

import filecmp
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path

import numpy as np

from fedvox.client.ingest.reading.frames import Common, Frame
from fedvox.client.ingest.reading.geometry import Stack, projection, stacked
from fedvox.client.ingest.reading.kinds import PROJECTIONS, check_kind
from fedvox.client.ingest.reading.layouts import LAYOUTS_AT_MOST, Layout, layouts_of
from fedvox.client.ingest.reading.phases import phases
from fedvox.client.ingest.reading.pixels import VOXELS_AT_MOST, check_pixels
from fedvox.client.ingest.reading.tags import Tag
from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.scan import Findings, ScanRef, SetAside, merged

READER = "dicom"
UNEXPECTED = "unexpected:"
"""Begins the detail of what should have been foreseen."""
_STACK_FROM = 3
"""Beside another stack of the series fewer slices than this are no stack."""


def findings_of(frames: Iterable[Frame], broken: Set[str] = frozenset()) -> Findings:
    """The scans of frames of any number of series.

    `broken` are series of which a file could not be read: what is left of them is no whole scan.
    """
    series: dict[tuple[str, str], list[Frame]] = defaultdict(list)
    for frame in frames:
        common = frame.common
        series[common.series_uid, "" if common.series_uid else common.study_uid].append(frame)
    return merged(_safely(own, uid in broken) for (uid, _), own in series.items())


def _safely(frames: list[Frame], broken: bool) -> Findings:
    try:
        return _series(frames, broken)
    except Exception as error:  # a series that surprises must not stop the others
        return _aside(frames, Quarantined(Reason.UNREADABLE, f"{UNEXPECTED} {error!r}"))


def _series(frames: list[Frame], broken: bool) -> Findings:
    frames, copies = _without_copied_files(frames)
    companions = Findings(companions=tuple(frame.path for frame in copies))
    if len({frame.common.patient for frame in frames}) > 1:
        aside = _aside(frames, Quarantined(Reason.MIXED_PATIENTS, "by PatientID"))
        return merged([companions, aside])
    usable, refused = _usable(frames)
    if any(
        aside.reason is Reason.PIXEL_DATA_DAMAGED for part in refused for aside in part.set_aside
    ):
        verdict = Quarantined(Reason.PIXEL_DATA_DAMAGED, "an image of the series has no pixels")
        return merged([companions, _aside(frames, verdict)])
    if broken and usable:
        verdict = Quarantined(Reason.UNREADABLE, "another file of the series is damaged")
        return merged([companions, *refused, _aside(usable, verdict)])
    layouts = layouts_of(usable)
    if len(layouts) > LAYOUTS_AT_MOST:
        verdict = Quarantined(Reason.MIXED_ORIENTATIONS, f"more than {LAYOUTS_AT_MOST} layouts")
        return merged([companions, *refused, _aside(usable, verdict)])
    parts = [_layout(own, layouts) for own in layouts]
    return merged([companions, *refused, *parts])


def _without_copied_files(frames: Sequence[Frame]) -> tuple[list[Frame], list[Frame]]:
    """Frames, and those of files that are copies of others."""
    seen: dict[tuple[str, int, bytes], Frame] = {}
    kept: list[Frame] = []
    copies: list[Frame] = []
    same: dict[tuple[Path, Path], bool] = {}
    for frame in frames:
        first = seen.setdefault((frame.sop_uid, frame.number, frame.digest), frame)
        pair = (first.path, frame.path)
        if first is not frame and pair not in same:
            same[pair] = _same_bytes(*pair)
        (copies if same.get(pair) else kept).append(frame)
    return kept, copies


def _same_bytes(one: Path, other: Path) -> bool:
    try:
        return one != other and filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def _usable(frames: Sequence[Frame]) -> tuple[list[Frame], list[Findings]]:
    """Frames that may become scans; the rest set aside by reason."""
    verdicts: dict[tuple[Common, bool], Quarantined | None] = {}
    usable: list[Frame] = []
    refused: dict[Reason, tuple[Quarantined, list[Frame]]] = {}
    for frame in frames:
        key = (frame.common, frame.pixels is not None)
        if key not in verdicts:
            verdicts[key] = _verdict(*key)
        verdict = verdicts[key]
        if verdict is None:
            usable.append(frame)
        else:
            refused.setdefault(verdict.reason, (verdict, []))[1].append(frame)
    return usable, [_aside(own, verdict) for verdict, own in refused.values()]


def _verdict(common: Common, has_pixels: bool) -> Quarantined | None:
    try:
        check_kind(common, has_pixels)
    except Quarantined as verdict:
        return verdict
    return None


def _layout(
    part: tuple[Layout, list[Frame]], layouts: Sequence[tuple[Layout, list[Frame]]]
) -> Findings:
    """The scans of one layout."""
    layout, frames = part
    single = all(frame.frames == 1 for frame in frames)
    try:
        for frame in frames:
            check_pixels(frame)
        if layout.common.modality in PROJECTIONS and single:
            return merged(_projection(frame) for frame in frames)
        if not single and any(frame.position is None for frame in frames):
            raise Quarantined(Reason.NO_GEOMETRY, "a multi-frame image without geometry")
        if len(layouts) > 1 and len(frames) < _STACK_FROM:
            others = [other for other, own in layouts if own is not frames]
            same = any(layout.same_size(other.common) for other in others)
            reason = Reason.MIXED_ORIENTATIONS if same else Reason.MIXED_SIZES
            raise Quarantined(reason, f"{len(frames)} slices beside {len(layouts) - 1} stacks")
        parts, copies = phases(frames)
        companions = Findings(companions=tuple(frame.path for frame in copies))
        return merged([companions, *map(_volume, parts)])
    except Quarantined as quarantined:
        return _aside(frames, quarantined)


def _projection(frame: Frame) -> Findings:
    try:
        return Findings(scans=(_ref(projection(frame)),))
    except Quarantined as quarantined:
        return _aside([frame], quarantined)


def _volume(frames: list[Frame]) -> Findings:
    try:
        common = frames[0].common
        whole = common.header.short(Tag.NUMBER_OF_SLICES) if common.modality == "PT" else 0
        if len(frames) < whole:
            raise Quarantined(Reason.MISSING_SLICES, f"{len(frames)} of {whole}")
        return Findings(scans=tuple(_ref(stack) for stack in _stacks(frames)))
    except Quarantined as quarantined:
        return _aside(frames, quarantined)


def _stacks(frames: list[Frame]) -> Iterator[Stack]:
    """One stack; where that is uneven, those of each acquisition or stack number."""
    try:
        yield stacked(frames)
        return
    except Quarantined as quarantined:
        parts = _by_acquisition(frames)
        if not parts:
            raise
        verdict = quarantined
    try:
        stacks = [stacked(part) for part in parts]
    except Quarantined:
        raise verdict from None
    yield from stacks


def _by_acquisition(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Parts of at least three slices whose heights overlap as those of separate stacks do."""
    for index in range(4):
        parts: dict[bytes, list[Frame]] = defaultdict(list)
        for frame in frames:
            parts[frame.phase[index]].append(frame)
        if len(parts) > 1 and min(map(len, parts.values())) >= _STACK_FROM:
            return [parts[value] for value in sorted(parts)]
    return []


def _ref(stack: Stack) -> ScanRef:
    frames, common = stack.frames, stack.frames[0].common
    shape = (common.columns, common.rows, len(frames))
    if int(np.prod(shape, dtype=object)) > VOXELS_AT_MOST:
        raise Quarantined(Reason.TOO_LARGE, f"{shape} voxels")
    hasher = hashlib.sha256()
    for part in sorted(frame.digest + frame.number.to_bytes(8, "big") for frame in frames):
        hasher.update(part)
    return ScanRef(
        reader=READER,
        kind=common.modality,
        files=tuple(dict.fromkeys(frame.path for frame in frames)),
        fingerprint=hasher.hexdigest(),
        shape=shape,
        patient=common.patient,
        study_uid=common.study_uid,
        series_uid=common.series_uid,
        frame_of_reference=common.frame_of_reference,
        sop_uids=tuple(frame.sop_uid for frame in frames),
        plan=stack,
    )


def _aside(frames: Sequence[Frame], verdict: Quarantined) -> Findings:
    common = frames[0].common
    files = tuple(dict.fromkeys(frame.path for frame in frames))
    return Findings(
        set_aside=(
            SetAside(verdict.reason, files, verdict.detail, common.patient, common.series_uid),
        )
    )
