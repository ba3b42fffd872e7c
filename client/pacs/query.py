"""What is wanted of a PACS, and what it says it has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from fnmatch import translate

from fedvox.common.errors import InputError

_WINDOW_DAYS = 31
_UID = re.compile(r"[0-9.]{1,64}")
_MODALITY = re.compile(r"[A-Z0-9_ ]{1,16}")


@dataclass(frozen=True)
class Window:
    """Study dates from the first to the last day; a None is open."""

    first: date | None = None
    last: date | None = None

    @property
    def text(self) -> str:
        """As a DICOM range; empty where both ends are open."""
        if self.first is None and self.last is None:
            return ""
        return f"{_dicom(self.first)}-{_dicom(self.last)}"

    def halves(self) -> tuple[Window, ...]:
        """Two shorter windows; none where this one is a day, or open."""
        if self.first is None or self.last is None or self.first >= self.last:
            return ()
        middle = self.first + (self.last - self.first) // 2
        return Window(self.first, middle), Window(middle + timedelta(days=1), self.last)

    def holds(self, day: str) -> bool:
        """Whether a date as DICOM writes it lies within; without a date only in an open window."""
        if self.first is None and self.last is None:
            return True
        return len(day) == 8 and (
            (not self.first or day >= _dicom(self.first))
            and (not self.last or day <= _dicom(self.last))
        )


@dataclass(frozen=True)
class Wanted:
    """Which series are to be fetched."""

    modalities: tuple[str, ...]
    dates: Window
    description: str = ""
    """A pattern with * and ?, whatever the case; of the series' description or the study's."""

    def __post_init__(self) -> None:
        if not self.modalities or not all(map(_MODALITY.fullmatch, self.modalities)):
            raise InputError("--modality: give it in capitals as DICOM does: CT, MR, PT, SEG, ...")
        if self.dates.first and self.dates.last and self.dates.first > self.dates.last:
            raise InputError("--since lies behind --until")

    def windows(self) -> Iterator[Window]:
        """The dates in pieces: many archives answer with only so many studies at a time."""
        first, last = self.dates.first, self.dates.last or date.today()
        if first is None:
            yield self.dates
            return
        while first <= last:
            end = min(first + timedelta(days=_WINDOW_DAYS - 1), last)
            yield Window(first, end)
            first = end + timedelta(days=1)

    def describes(self, *descriptions: str) -> bool:
        """Whether one of the descriptions fits the pattern."""
        if not self.description:
            return True
        pattern = re.compile(translate(self.description), re.IGNORECASE)
        return any(pattern.match(text.strip()) for text in descriptions)


@dataclass(frozen=True)
class Study:
    """A study that an archive has."""

    uid: str = field(repr=False)
    description: str = field(default="", repr=False)


@dataclass(frozen=True)
class Series:
    """A series that an archive has."""

    study_uid: str = field(repr=False)
    uid: str = field(repr=False)
    objects: int | None = None
    """How many images the archive announced; None: it did not say."""


def is_uid(text: str) -> bool:
    """Whether a text from an archive may be put into a question to it."""
    return _UID.fullmatch(text) is not None


def day_of(text: str) -> date:
    """A day as people write it on a command line."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is no day; write it as 2024-01-31") from None


def _dicom(day: date | None) -> str:
    return day.strftime("%Y%m%d") if day else ""
