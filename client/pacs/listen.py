"""Receives what a PACS pushes, and ingests each study once it has come to rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedvox.client.pacs.ingesting import Ingest, Ingested, IngestFailed, IngestStopped
from fedvox.client.pacs.receiver import Receiver
from fedvox.client.pacs.spool import Spool, Stored

_TICK_S = 0.25
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 30.0, 3600.0
_BATCH = 32
"""Studies ingested at once: each ingest makes a version of the dataset."""

Say = Callable[[str], None]


@dataclass
class Outcome:
    """What a listener did since it was started."""

    studies: int = 0
    ingest: Ingested = field(default_factory=Ingested)

    def as_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"studies": self.studies, **self.ingest.as_plain()}


class Rest:
    """When each study was last added to."""

    def __init__(self, quiet_s: float) -> None:
        self._quiet_s = quiet_s
        self._last: dict[str, float] = {}
        self._lock = threading.Lock()

    def touched(self, stored: Stored) -> None:
        """An object of a study has come."""
        with self._lock:
            self._last[stored.study] = time.monotonic()

    def is_quiet(self, study: str) -> bool:
        """Whether nothing came for it for a while; so is what an earlier process received."""
        with self._lock:
            last = self._last.get(study)
        return last is None or time.monotonic() - last >= self._quiet_s

    def forget(self, study: str) -> None:
        """It was taken away."""
        with self._lock:
            self._last.pop(study, None)


class Emptying:
    """Takes studies that rest out of a spool and ingests them."""

    def __init__(self, spool: Spool, ingest: Ingest, say: Say) -> None:
        self._spool = spool
        self._ingest = ingest
        self._say = say
        self._failed: dict[Path, int] = {}
        """How often each failed; they are tried again apart from the others."""
        self._again = 0.0
        self.outcome = Outcome()

    def turn(self, due: Sequence[str]) -> list[Path]:
        """Ingests what is due, and what an earlier process or turn left; what was done with."""
        for study in due[:_BATCH]:
            self._spool.take(study)
        waiting = self._spool.taken()
        fresh = [path for path in waiting if path not in self._failed]
        if fresh:
            return self._done(fresh[:_BATCH])
        if waiting and time.monotonic() >= self._again:
            return [path for folder in waiting for path in self._done([folder])]
        return []

    def _failure(self, folder: Path) -> None:
        times = self._failed.get(folder, 0)
        self._failed[folder] = times + 1
        self._again = time.monotonic() + min(_FIRST_PAUSE_S * 2**times, _LONGEST_PAUSE_S)

    def _done(self, folders: Sequence[Path]) -> list[Path]:
        """Together, or one by one where one of them spoils it for the others."""
        try:
            found = self._ingest(folders)
        except IngestStopped:
            return []
        except IngestFailed as error:
            if len(folders) == 1:
                self._failure(folders[0])
                self._say(f"study {folders[0].name[:12]}: {error}; it is kept and tried again")
                return []
            return [path for folder in folders for path in self._done([folder])]
        for folder in folders:
            self._spool.done(folder)
            self._failed.pop(folder, None)
        self.outcome.studies += len(folders)
        self.outcome.ingest.add(found)
        aside = sum(found.quarantined.values())
        self._say(
            f"{len(folders)} studies: {found.ingested} scans ingested, {found.unchanged} were "
            f"there, {aside} set aside"
        )
        return list(folders)


def listen(
    receiver: Receiver,
    spool: Spool,
    rest: Rest,
    emptying: Emptying,
    stop: threading.Event,
) -> None:
    """Until `stop` is set; what waits then is ingested by whoever starts next."""
    while not stop.is_set():
        due = [s for s in spool.studies() if rest.is_quiet(s) and not receiver.is_busy(s)]
        emptying.turn(due)
        for study in due:
            rest.forget(study)
        stop.wait(_TICK_S)
