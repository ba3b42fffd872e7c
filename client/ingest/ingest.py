"""Everything that lies below some paths into a dataset: found, made into cases, recorded."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedvox.client.dataset.case import Case, Facts
from fedvox.client.dataset.casefile import Packed
from fedvox.client.dataset.intake import Intake
from fedvox.client.dataset.manifest import SourceOf
from fedvox.client.dataset.places import Place
from fedvox.client.deid.sitekey import SiteKey
from fedvox.client.ingest.labelled import LabelWish, Sought, seek
from fedvox.client.ingest.making import Recipe, content_of
from fedvox.client.ingest.reading.find import load
from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.scan import ScanRef, SetAside
from fedvox.client.ingest.sources import sealed_detail, source_of_aside, source_of_scan
from fedvox.common.errors import FedvoxError, InputError

Progress = Callable[[int, int], None]
"""Scans that are done with, and scans in all."""

_RECORDED_AT_ONCE = 500
"""Of what is set aside: each record would wait for the disk."""
_AGAIN = (Reason.DUPLICATE, Reason.TOO_LARGE, Reason.UNREADABLE, Reason.WITHDRAWN)
"""What may be otherwise the next time, though the file is the same."""
_NOTHING = (Reason.UNREADABLE, Reason.NOT_AN_IMAGE, Reason.EMPTY)


@dataclass
class Outcome:
    """What an import came to."""

    dataset: str
    fingerprint: str = ""
    version: str = ""
    ingested: int = 0
    unchanged: int = 0
    labelled: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    """Reason -> scans and files."""
    files_read: int = 0
    wall_s: float = 0.0

    @property
    def was_readable(self) -> bool:
        """Whether anything at all was an image."""
        return bool(
            self.ingested or self.unchanged or set(self.quarantined) - set(map(str, _NOTHING))
        )

    def as_plain(self) -> dict[str, Any]:
        """For JSON."""
        counts = dict(sorted(self.quarantined.items()))
        return {**self.__dict__, "quarantined": counts, "wall_s": round(self.wall_s, 3)}


@dataclass(frozen=True)
class Written:
    """A case whose file is in place."""

    packed: Packed
    facts: Facts
    study: str
    series: str


def ingest(
    home: Path,
    sources: Sequence[Path],
    dataset: str,
    labels: Sequence[Path] = (),
    recipe: Recipe | None = None,
    wish: LabelWish | None = None,
    progress: Progress = lambda done, total: None,
    workers: int = 0,
) -> Outcome:
    """Imports what is new or changed below `sources`; bad scans never stop the rest.

    InputError for a path that is not there; ResourceError where the disk will not: what was
    imported until then is kept, and the same call goes on from there.
    """
    started = time.monotonic()
    place, key = Place(home, dataset), SiteKey.of(home)
    for path in (*sources, *labels):
        if not path.exists():
            raise InputError(f"{path}: not there; name a file or a folder to import")
    recipe = recipe or Recipe()
    with Intake(place) as intake:
        sought = seek(sources, labels, wish or LabelWish())
        run = _Import(intake, key, recipe, sought, Outcome(dataset))
        outcome = run.all(progress, workers or len(os.sched_getaffinity(0)))
        version = intake.form_version()
    if version is not None:
        outcome.fingerprint, outcome.version = version.fingerprint, version.name
    outcome.wall_s = time.monotonic() - started
    return outcome


class _Import:
    """One import: files are written by threads, the manifest by the thread that called."""

    def __init__(
        self, intake: Intake, key: SiteKey, recipe: Recipe, sought: Sought, outcome: Outcome
    ) -> None:
        self._intake = intake
        self._key = key
        self._recipe = recipe
        self._sought = sought
        self._outcome = outcome
        self._sources = {id(ref): self._source(ref) for ref in sought.scans}
        self._present = frozenset(source.mark for source in self._sources.values())

    def _source(self, ref: ScanRef) -> SourceOf:
        label = self._sought.label_of(ref)
        mark = label.fingerprint if label is not None else ""
        return source_of_scan(self._key, ref, mark, self._recipe.text)

    def all(self, progress: Progress, workers: int) -> Outcome:
        """Imports everything that was found."""
        asides = self._sought.set_aside
        for start in range(0, len(asides), _RECORDED_AT_ONCE):
            batch = asides[start : start + _RECORDED_AT_ONCE]
            self._intake.set_aside(*filter(None, map(self._unused, batch)))
        todo = [ref for ref in self._sought.scans if not self._is_done(ref)]
        total = len(self._sought.scans)
        done = total - len(todo)
        for ref, result in _in_threads(self._make, todo, workers):
            self._record(ref, result)
            done += 1
            progress(done, total)
        self._outcome.files_read = self._sought.files_read
        return self._outcome

    def _unused(self, aside: SetAside) -> tuple[SourceOf, str, bytes] | None:
        """What is recorded of files that are no scan; None where it was recorded before."""
        source = source_of_aside(self._key, aside, self._recipe.text)
        self._outcome.quarantined[str(aside.reason)] += 1
        if self._intake.known(source.mark) is not None:
            return None
        return source, str(aside.reason), sealed_detail(self._key, aside.files, aside.detail)

    def _is_done(self, ref: ScanRef) -> bool:
        source = self._sources[id(ref)]
        known = self._intake.known(source.mark)
        if known is None or known.recipe != source.recipe:
            return False
        if source.label_mark and source.label_mark != known.label_mark:
            return False
        if known.reason in _AGAIN:
            return False
        if not known.case_key:
            self._outcome.quarantined[known.reason] += 1
            return True
        self._outcome.unchanged += 1
        self._outcome.labelled += bool(known.label_mark)
        return True

    def _make(self, ref: ScanRef) -> Written:
        """Reads a scan and writes its case; in any thread."""
        if self._intake.is_withdrawn(self._sources[id(ref)].pseudonym):
            raise Quarantined(Reason.WITHDRAWN)
        label = self._sought.label_of(ref)
        if label is None and self._recipe.task:
            raise Quarantined(Reason.NO_LABEL, f"{self._recipe.task} needs a label")
        scan = load(ref)
        if not scan.patient.strip():
            raise Quarantined(Reason.NO_PATIENT, "the scan names no patient")
        content = content_of(scan, label.read(scan) if label is not None else None, self._recipe)
        packed = self._intake.write(content)
        uid = self._key.uid
        return Written(packed, content.facts, uid(scan.study_uid), uid(scan.series_uid))

    def _record(self, ref: ScanRef, result: Written | Quarantined) -> None:
        source = self._sources[id(ref)]
        if isinstance(result, Written):
            reason = self._add(source, result)
            if not reason:
                return
            result = Quarantined(Reason(reason))
        self._outcome.quarantined[str(result.reason)] += 1
        sealed = sealed_detail(self._key, ref.files, result.detail)
        self._intake.set_aside((source, str(result.reason), sealed))

    def _add(self, source: SourceOf, written: Written) -> str:
        case = Case(
            written.packed.key,
            written.packed.image_sha256,
            source.pseudonym,
            written.study,
            written.series,
            written.facts,
            written.packed.bytes,
        )
        reason = self._intake.add(case, source, self._present)
        if not reason:
            self._outcome.ingested += 1
            self._outcome.labelled += bool(written.facts.label)
        return reason


def _in_threads(
    make: Callable[[ScanRef], Written], refs: Sequence[ScanRef], workers: int
) -> Iterator[tuple[ScanRef, Written | Quarantined]]:
    """What becomes of each scan, in the order they were found: of two alike the first counts."""
    pool = ThreadPoolExecutor(workers, "ingest")
    try:
        for ref, future in [(ref, pool.submit(make, ref)) for ref in refs]:
            yield ref, _result(future)
    finally:
        pool.shutdown(cancel_futures=True)


def _result(future: Future[Written]) -> Written | Quarantined:
    try:
        return future.result()
    except Quarantined as error:
        return error
    except FedvoxError:  # the disk, not the scan
        raise
    except MemoryError:
        return Quarantined(Reason.TOO_LARGE, "larger than this machine's memory")
    except Exception as error:  # whatever a damaged file makes a library raise
        return Quarantined(Reason.UNREADABLE, f"{type(error).__name__}: {error}")
