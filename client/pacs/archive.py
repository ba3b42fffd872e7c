"""What `fedvox site pull` asks of an archive, by whatever protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from fedvox.client.pacs.part import Part
from fedvox.client.pacs.query import Series, Study, Wanted, Window
from fedvox.client.pacs.reasons import Reason, Unfetched
from fedvox.client.pacs.spool import Spool, Stored


class Archive(Protocol):
    """A PACS. Every method raises Unfetched where the archive does not do it."""

    def studies(self, modality: str, window: Window) -> Iterator[tuple[Study, str]]:
        """Studies of a modality with their dates, as the archive has them."""
        ...

    def series(self, study: Study, modality: str) -> Iterator[tuple[Series, str]]:
        """The study's series of a modality with their descriptions."""
        ...

    def fetch(self, series: Series) -> int:
        """Has the series brought into the spool; how many objects the archive says it sent."""
        ...

    def close(self) -> None:
        """Ends what is open."""
        ...


Missed = Callable[[Unfetched, Study | None], None]
"""Told of a question that was not answered: of all studies of some days, or of one study."""


def find(archive: Archive, wanted: Wanted, missed: Missed) -> Iterator[Series]:
    """Every series that is wanted; what the archive adds to what it was asked for is left out."""
    for modality in wanted.modalities:
        for study in _studies(archive, wanted, modality, missed):
            try:
                found = list(archive.series(study, modality))
            except Unfetched as error:
                missed(error, study)
                continue
            for series, description in found:
                if wanted.describes(description, study.description):
                    yield series


def _studies(archive: Archive, wanted: Wanted, modality: str, missed: Missed) -> Iterator[Study]:
    """In windows of days; one that is too much for the archive is asked for in halves."""
    seen: set[str] = set()
    windows = list(wanted.windows())[::-1]
    while windows:
        window = windows.pop()
        try:
            found = list(archive.studies(modality, window))
        except Unfetched as error:
            halves = window.halves() if error.may_be_less else ()
            windows.extend(reversed(halves))
            if not halves:
                missed(error, None)
            continue
        for study, day in found:
            if study.uid not in seen and window.holds(day):
                seen.add(study.uid)
                yield study


class Into:
    """Where an archive puts what it fetches: the spool, but only of the series asked for."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._asked = ("", "")
        self._came: set[str] = set()
        self.strays = 0
        self.refused: list[Unfetched] = []

    def expect(self, series: Series) -> None:
        """From now on, objects of this series are taken, and no others."""
        study = self._spool.study_token(series.study_uid)
        self._asked = (study, self._spool.series_token(series.uid))
        self._came = set()
        self.strays = 0
        self.refused = []

    def accepts(self, study: str, series: str) -> bool:
        """Whether an object belongs to what was asked for."""
        return (study, series) == self._asked

    def begin(self) -> Part:
        """A file for an object."""
        return self._spool.begin()

    def store(self, part: Part) -> Stored:
        """Keeps an object that came whole; Unfetched where it is not wanted or cannot be kept."""
        try:
            stored = self._spool.store(part, self.accepts)
        except Unfetched as error:
            if error.reason is Reason.NOT_ASKED_FOR:
                self.strays += 1  # a PACS may send other things at the same time
            else:
                self.refused.append(error)
            raise
        self.count(stored)
        return stored

    def count(self, stored: Stored) -> None:
        """An object was kept."""
        if self.accepts(stored.study, stored.series):
            self._came.add(stored.object)

    @property
    def came(self) -> int:
        """Objects of the series that were kept."""
        return len(self._came)
