"""Fetches what is wanted from an archive, series by series, and ingests it study by study."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from fedvox.client.pacs.archive import Archive, Into, find
from fedvox.client.pacs.listen import Emptying, Say
from fedvox.client.pacs.query import Series, Study, Wanted
from fedvox.client.pacs.reasons import Reason, Unfetched
from fedvox.client.pacs.record import Record, State
from fedvox.client.pacs.spool import Spool, study_of

_BATCH = 16
"""Studies in the spool before they are ingested."""
_HOPELESS = (Reason.UNREACHABLE, Reason.REFUSED, Reason.UNAUTHORISED, Reason.NO_SPACE)
_GIVEN_UP_AFTER = 3
"""Failures in a row that the next series would have as well."""


@dataclass(frozen=True)
class Pace:
    """How much is asked of an archive."""

    limit: int = 0
    """Series fetched at most; 0: all."""
    per_minute: float = 0.0
    """Series fetched in a minute at most; 0: as fast as they come."""


@dataclass
class Pulled:
    """What a run came to."""

    found: int = 0
    present: int = 0
    """Fetched by an earlier run."""
    fetched: int = 0
    objects: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """Reason -> series that could not be fetched in this run."""
    unanswered: Counter[str] = field(default_factory=Counter)
    """Reason -> questions that the archive did not answer."""
    gave_up: bool = False
    """Whether the rest was left for another run, since it would have failed as well."""

    def as_plain(self) -> dict[str, Any]:
        """For JSON."""
        counts = {"failed": dict(self.failed), "unanswered": dict(self.unanswered)}
        return {**self.__dict__, **counts}


class Pull:
    """One run."""

    def __init__(
        self,
        archive: Archive,
        into: Into,
        spool: Spool,
        record: Record,
        emptying: Emptying,
        pace: Pace,
        say: Say,
        stop: threading.Event,
    ) -> None:
        self._archive = archive
        self._into = into
        self._spool = spool
        self._record = record
        self._emptying = emptying
        self._pace = pace
        self._say = say
        self._stop = stop
        self._next = 0.0
        self._in_a_row = 0
        self.pulled = Pulled()

    def run(self, wanted: Wanted | None) -> Pulled:
        """Fetches what is wanted, or without that, what earlier runs found and did not fetch."""
        self._tidy()
        for _, group in groupby(self._todo(wanted), key=lambda series: series.study_uid):
            for series in group:
                if self._is_over():
                    break
                self._one(series)
            if len(self._spool.studies()) >= _BATCH or self._is_over():
                self._empty()
            if self._is_over():
                break
        self._empty()
        return self.pulled

    def _is_over(self) -> bool:
        enough = self._pace.limit and self.pulled.fetched >= self._pace.limit
        return bool(enough) or self._stop.is_set() or self.pulled.gave_up

    def _todo(self, wanted: Wanted | None) -> Sequence[Series]:
        if wanted is None:
            todo = self._record.missing()
            self.pulled.found = len(todo)
            return todo
        new: dict[tuple[str, str], Series] = {}
        seen: set[tuple[str, str]] = set()
        for series in find(self._archive, wanted, self._missed):
            tokens = self._tokens(series)
            seen.add(tokens)
            if self._record.found(*tokens, series) in (State.FOUND, State.FAILED):
                new[tokens] = series
            if self._stop.is_set():
                break
        self.pulled.found, self.pulled.present = len(seen), len(seen) - len(new)
        self._say(f"{self.pulled.found} series found, {self.pulled.present} of them are here")
        return [new[tokens] for tokens in sorted(new)]

    def _tokens(self, series: Series) -> tuple[str, str]:
        study = self._spool.study_token(series.study_uid)
        return study, self._spool.series_token(series.uid)

    def _missed(self, error: Unfetched, study: Study | None) -> None:
        self.pulled.unanswered[error.reason.value] += 1
        whose = f"study {self._spool.study_token(study.uid)[:12]}" if study else "some days"
        self._say(f"{whose}: not searched: {error.reason}: {error.reason.remedy}")

    def _one(self, series: Series) -> None:
        self._wait()
        study, token = self._tokens(series)
        try:
            count = self._fetch(series)
        except Unfetched as error:
            self._spool.drop_series(study, token)
            self._record.failed(token, error.reason)
            self.pulled.failed[error.reason.value] += 1
            self._say(f"series {token[:12]}: skipped: {error.reason}: {error.reason.remedy}")
            self._in_a_row = self._in_a_row + 1 if error.reason in _HOPELESS else 0
            self.pulled.gave_up = self._in_a_row >= _GIVEN_UP_AFTER
            return
        self._record.fetched(token, count)
        self._in_a_row = 0
        self.pulled.fetched += 1
        self.pulled.objects += count
        self._say(f"series {token[:12]}: {count} objects")

    def _fetch(self, series: Series) -> int:
        """Whole or not at all: of a part nobody would see later that it is one."""
        sent = self._archive.fetch(series)
        expected = max(sent, series.objects or 0)
        if self._into.refused:
            raise self._into.refused[0]
        if not self._into.came:
            raise Unfetched(Reason.NOT_ASKED_FOR if self._into.strays else Reason.NOT_FOUND)
        if self._into.came < expected:
            raise Unfetched(Reason.INCOMPLETE)
        return self._into.came

    def _wait(self) -> None:
        if self._pace.per_minute > 0:
            self._stop.wait(max(self._next - time.monotonic(), 0))
            self._next = time.monotonic() + 60 / self._pace.per_minute

    def _empty(self) -> None:
        while True:
            done = self._emptying.turn(self._spool.studies())
            self._record.ingested(study_of(path) for path in done)
            if (not self._spool.studies() and not done) or self._stop.is_set():
                return

    def _tidy(self) -> None:
        """Goes on where an earlier run was cut off: parts of series are dropped."""
        for study in self._spool.studies():
            for series in self._spool.series(study):
                if not self._record.is_fetched(series):
                    self._spool.drop_series(study, series)
        self._empty()
        left = {study_of(path) for path in self._spool.taken()} | set(self._spool.studies())
        self._record.ingested(self._gone(left))

    def _gone(self, left: set[str]) -> Iterable[str]:
        return [study for study in self._record.studies_fetched() if study not in left]
