"""Phases of one series: where places repeat, what tells the repetitions apart."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from fedvox.client.ingest.reading.frames import Frame
from fedvox.client.ingest.reading.geometry import SAME_PLACE_MM, axes_of, positions_of
from fedvox.client.ingest.reading.header import DEFLATED
from fedvox.client.ingest.reading.source import Inflated, Source, opened
from fedvox.client.ingest.reading.tags import DIMENSIONS_AT_MOST, PHASE_TAGS, Tag
from fedvox.client.ingest.reasons import Quarantined, Reason

_TIMES = (Tag.FRAME_ACQUIRED, Tag.ACQUISITION_DATETIME, Tag.ACQUISITION_TIME, Tag.CONTENT_TIME)
_TRIGGER = PHASE_TAGS.index(Tag.TRIGGER_TIME)
_ATTRIBUTES = len(PHASE_TAGS) + DIMENSIONS_AT_MOST
_BLOCK = 1 << 20

Placed = tuple[int, Frame]
"""A frame and the number of its place along the normal."""


def phases(frames: Sequence[Frame]) -> tuple[list[list[Frame]], list[Frame]]:
    """Frames of one layout, parted so that no place repeats within a part; and those dropped.

    Slices that repeat pixel for pixel are dropped. Quarantined where different ones share a place
    and no attribute tells them apart.
    """
    placed, copies = _placed(frames), list[Frame]()
    if _repeats(placed) == 1:
        return [list(frames)], copies
    if len(set(_counts(placed).values())) > 1:
        placed, copies = _without_copies(placed)
    parts = _parted(placed, 0)
    if parts is None and not copies:
        placed, copies = _without_copies(placed)
        parts = _parted(placed, 0)
    if parts is None:
        raise Quarantined(Reason.DUPLICATE_SLICES, f"{_repeats(placed)} slices at one place")
    return [[frame for _, frame in part] for part in parts], copies


def _placed(frames: Sequence[Frame]) -> list[Placed]:
    """Every frame with its place, in the order of places."""
    normal = axes_of(frames[0].common)[2]
    heights = positions_of(frames) @ normal
    order = np.argsort(heights, kind="stable")
    new = np.diff(heights[order], prepend=heights[order[0]]) > SAME_PLACE_MM
    return [(int(place), frames[index]) for place, index in zip(np.cumsum(new), order, strict=True)]


def _counts(placed: Sequence[Placed]) -> Counter[int]:
    return Counter(place for place, _ in placed)


def _repeats(placed: Sequence[Placed]) -> int:
    return max(_counts(placed).values())


def _parted(placed: list[Placed], first: int) -> list[list[Placed]] | None:
    """Parts without repetition, by the attributes from number `first` on; None if none are."""
    repeats = _repeats(placed)
    if repeats == 1:
        return [placed]
    for complete in (True, False):
        for index in range(first, _ATTRIBUTES):
            parts = _by_value(placed, index)
            if _is_good(parts, placed, repeats, complete):
                return _each_parted(parts, index + 1) or _by_time(placed)
    return _by_time(placed) or _by_trigger(placed)


def _each_parted(parts: Sequence[list[Placed]], first: int) -> list[list[Placed]] | None:
    finer: list[list[Placed]] = []
    for part in parts:
        pieces = _parted(part, first)
        if pieces is None:
            return None
        finer += pieces
    return finer


def _by_value(placed: Sequence[Placed], index: int) -> list[list[Placed]]:
    parts: dict[bytes, list[Placed]] = defaultdict(list)
    for item in placed:
        parts[item[1].phase[index]].append(item)
    return [parts[value] for value in sorted(parts)]


def _is_good(
    parts: Sequence[Sequence[Placed]], placed: Sequence[Placed], repeats: int, complete: bool
) -> bool:
    """Whether parting leaves fewer repetitions, and stacks rather than crumbs."""
    places = len(_counts(placed))
    if len(parts) < 2 or any(_repeats(part) == repeats for part in parts):
        return False
    least = places if complete else min(places, 2)
    return all(len(_counts(part)) >= least for part in parts)


def _by_time(placed: Sequence[Placed]) -> list[list[Placed]] | None:
    """The first, second, ... of every place by time, if one round ended before the next began."""
    if len(set(_counts(placed).values())) > 1:
        return None
    for tag in _TIMES:
        index = PHASE_TAGS.index(tag)
        ordered = sorted(placed, key=lambda item: item[1].phase[index])
        places = len(_counts(placed))
        rounds = [ordered[at : at + places] for at in range(0, len(ordered), places)]
        ends = [(part[0][1].phase[index], part[-1][1].phase[index]) for part in rounds]
        apart = all(before[1] < after[0] for before, after in pairwise(ends))
        if ends[0][0] and apart and all(_repeats(part) == 1 for part in rounds):
            return rounds
    return None


def _by_trigger(placed: Sequence[Placed]) -> list[list[Placed]] | None:
    """The first, second, ... of every place by the time since the heart's beat, which differs from
    place to place as the heart's rate does."""
    counts = set(_counts(placed).values())
    try:
        moments = {id(frame): float(frame.phase[_TRIGGER]) for _, frame in placed}
    except ValueError:
        return None
    distinct = {(place, moments[id(frame)]) for place, frame in placed}
    if len(counts) > 1 or len(distinct) < len(placed):
        return None
    ordered = sorted(placed, key=lambda item: (item[0], moments[id(item[1])]))
    phases_here = counts.pop()
    return [ordered[phase::phases_here] for phase in range(phases_here)]


def _without_copies(placed: Sequence[Placed]) -> tuple[list[Placed], list[Frame]]:
    """Of slices that share place and pixels the first alone; and the others."""
    counts, seen = _counts(placed), set[tuple[int, bytes]]()
    kept: list[Placed] = []
    copies: list[Frame] = []
    for place, frame in placed:
        if counts[place] > 1:
            key = (place, _pixel_digest(frame))
            if key in seen:
                copies.append(frame)
                continue
            seen.add(key)
        kept.append((place, frame))
    return kept, copies


def _pixel_digest(frame: Frame) -> bytes:
    """Over the pixels as they stand in the file; frames of one file are never copies."""
    if frame.pixels is None or frame.frames > 1:
        return f"{frame.path} {frame.number}".encode(errors="surrogateescape")
    hasher = hashlib.sha256(f"{frame.slope} {frame.intercept}".encode())
    try:
        with opened(frame.path) as file:
            source: Source = file
            if frame.syntax == DEFLATED:
                packed = file.read_at(frame.start, file.size - frame.start)
                source = Inflated(packed, frame.pixels.offset + frame.pixels.length)
            for at in range(frame.pixels.offset, source.size, _BLOCK):
                hasher.update(source.read_at(at, _BLOCK))
    except OSError as error:
        raise Quarantined(Reason.UNREADABLE, str(error)) from None
    return hasher.digest()
