"""Which rule an attribute falls under: the table in profile.csv, and what holds for the rest."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files


class Action(StrEnum):
    """What becomes of an attribute."""

    DUMMY = "D"
    EMPTY = "Z"
    REMOVE = "X"
    KEEP = "K"
    REMAP = "U"
    CLEAN = "C"
    SHIFT = "S"
    PSEUDONYM = "P"
    ENTER = "E"
    """A sequence: its items go through the same rules."""


SPOKEN = {
    Action.DUMMY: "replaced by a dummy",
    Action.EMPTY: "emptied",
    Action.REMOVE: "removed",
    Action.KEEP: "kept",
    Action.REMAP: "UIDs remapped",
    Action.CLEAN: "cleaned",
    Action.SHIFT: "dates shifted",
    Action.PSEUDONYM: "replaced by the pseudonym",
    Action.ENTER: "sequences entered",
}


@dataclass(frozen=True)
class Options:
    """What of the standard's options is wanted beside the basic profile."""

    device: bool = False
    """Retain device identity."""
    patient: bool = False
    """Retain patient characteristics: sex, age (above 89 as 90), size, weight."""
    dates: bool = False
    """Retain longitudinal temporal information, all dates of a patient moved by the same days."""
    blank: tuple[tuple[int, int, int, int], ...] = ()
    """Clean pixel data: x, y, width and height of what is blackened in every frame."""


_TEXT_AND_TIME = frozenset(
    {"AE", "AS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT"}
)
_OPAQUE = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})


def action_for(keyword: str, vr: str, options: Options) -> Action:
    """The rule for a standard attribute."""
    row = _table().get(keyword)
    if row is not None:
        chosen = row["basic"]
        for option in ("device", "patient", "dates"):
            if getattr(options, option) and row[option]:
                chosen = row[option]
        if vr == "SQ" and chosen == Action.KEEP:
            return Action.ENTER
        return Action(chosen)
    return _default(vr)


def _default(vr: str) -> Action:
    """What nobody listed is kept only where it cannot hold what a person wrote."""
    if vr == "SQ":
        return Action.ENTER
    if vr == "UI":
        return Action.REMAP
    if vr in _TEXT_AND_TIME or vr in _OPAQUE:
        return Action.REMOVE
    return Action.KEEP


@cache
def _table() -> Mapping[str, Mapping[str, str]]:
    text = (files("fedvox.client.deid") / "profile.csv").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {row["keyword"]: row for row in csv.DictReader(lines)}


def listed() -> frozenset[str]:
    """Every keyword that the table has."""
    return frozenset(_table())
