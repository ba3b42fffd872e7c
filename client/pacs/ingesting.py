"""The ingest of what came from a PACS, in a process of its own.

Reading images takes memory and the processor; here that neither holds up what arrives meanwhile nor
takes the receiver down with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedvox.common.supervised import PARENT

_TICK_S = 0.2
_END_S = 30.0


@dataclass
class Ingested:
    """What an ingest came to; those of several can be added up."""

    ingested: int = 0
    unchanged: int = 0
    labelled: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    """Reason code -> scans and files."""
    fingerprint: str = ""

    def add(self, other: Ingested) -> None:
        """Counts another one in."""
        self.ingested += other.ingested
        self.unchanged += other.unchanged
        self.labelled += other.labelled
        self.quarantined.update(other.quarantined)
        self.fingerprint = other.fingerprint or self.fingerprint

    def as_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {**self.__dict__, "quarantined": dict(sorted(self.quarantined.items()))}


class IngestFailed(Exception):
    """The ingest did not come to an end; what it was given is still there."""


class IngestStopped(IngestFailed):
    """It was told to end."""


Ingest = Callable[[Sequence[Path]], Ingested]
"""Ingests folders; IngestFailed where it could not, and then all of it may be tried again."""


@dataclass(frozen=True)
class IngestCommand:
    """`fedvox site ingest` for one dataset."""

    home: Path
    dataset: str
    options: tuple[str, ...] = ()
    """Further words of the command."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Ends an ingest that runs; it goes on from there the next time."""

    def __call__(self, folders: Sequence[Path]) -> Ingested:
        """Runs the command to its end."""
        words = ["site", "ingest", *map(str, folders), "--dataset", self.dataset]
        words += ["--home", str(self.home), *self.options, "--json"]
        command = [sys.executable, "-P", "-m", "fedvox.client.pacs.child", *words]
        environment = {**os.environ, PARENT: str(os.getpid())}
        # What it says of an error may name files of patients: people run the command themselves.
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        ) as process:
            said = self._said(process)
        if self.stop.is_set() and process.returncode not in (0, 2):
            raise IngestStopped("the ingest was stopped")
        return _understood(said, process.returncode)

    def _said(self, process: subprocess.Popen[bytes]) -> bytes:
        while True:
            try:
                return process.communicate(timeout=_TICK_S)[0]
            except subprocess.TimeoutExpired:
                if self.stop.is_set():
                    return _ended(process)


def _ended(process: subprocess.Popen[bytes]) -> bytes:
    process.terminate()
    try:
        return process.communicate(timeout=_END_S)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0]


def _understood(said: bytes, status: int) -> Ingested:
    """Its last line; status 2 with one says that nothing was an image, which is an outcome."""
    lines = said.decode(errors="replace").strip().splitlines()
    try:
        found = json.loads(lines[-1]) if status in (0, 2) and lines else None
    except ValueError:
        found = None
    if not isinstance(found, dict) or "quarantined" not in found:
        raise IngestFailed(f"the ingest ended with status {status}")
    return Ingested(
        ingested=int(found["ingested"]),
        unchanged=int(found["unchanged"]),
        labelled=int(found["labelled"]),
        quarantined=Counter(found["quarantined"]),
        fingerprint=str(found["fingerprint"]),
    )
