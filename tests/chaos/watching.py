"""Seeing from outside what a consortium does at this moment: its processes and its files."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from fedvox.simulations.local.consortium import LocalConsortium

LOOK_S = 0.002
ROUND = 2
"""The round in which things happen."""

Seen = Callable[[], bool]


def until(seen: Seen, seconds: float, what: str) -> None:
    """Waits; TimeoutError where it is not seen."""
    end = time.monotonic() + seconds
    while not seen():
        if time.monotonic() > end:
            raise TimeoutError(f"not seen within {seconds:g} s: {what}")
        time.sleep(LOOK_S)


def processes(*words: str) -> list[int]:
    """The processes that have all these words on their command line."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with suppress(OSError):
                line = (folder / "cmdline").read_bytes().split(b"\0")
                if all(word.encode() in line for word in words):
                    found.append(int(folder.name))
    return found


@dataclass(frozen=True)
class Sight:
    """A consortium with one study under way."""

    consortium: LocalConsortium
    study: str
    site: str
    """Whose processes are looked at."""

    @property
    def folder(self) -> Path:
        return self.consortium.home / "studies" / self.study

    @property
    def site_home(self) -> Path:
        return self.consortium.home_of(self.site)

    def pids(self, target: str) -> list[int]:
        """The process of a name; there is one, or none for a moment."""
        home, site = str(self.consortium.home), str(self.site_home)
        words = {
            "supervisor": ("coordinator", "start", home),
            "coordinator": ("fedvox.server.coordinator", home),
            "conductor": ("fedvox.server.coordinator.conductor", home, self.study),
            "site": ("site", "start", site),
            "link": ("fedvox.client.link", site),
            "trainer": ("fedvox.client.trainer", site),
        }[target]
        return processes(*words)

    def kill(self, target: str) -> int:
        """Kills it without warning; how many processes that were."""
        pids = self.pids(target)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(pids)

    def said(self, kind: str, round_number: int = ROUND) -> bool:
        """Whether the conductor has told of such an event."""
        try:
            text = (self.folder / "conductor.log").read_text()
        except OSError:
            return False
        return f'"event": "{kind}", "round": {round_number}' in text

    def works(self) -> bool:
        """Whether the site's trainer trains in the round."""
        with suppress(OSError, ValueError):
            now = json.loads((self.site_home / "run" / "now.json").read_text())
            return (now["study"], now["kind"], now["round"]) == (self.study, "train", ROUND)
        return False

    def charges(self, kind: str = "reserved") -> list[tuple[str, int]]:
        """The study and round of each row of a kind in the site's ledgers."""
        found: list[tuple[str, int]] = []
        for path in (self.site_home / "ledger").glob("*/*.sqlite"):
            with (
                suppress(sqlite3.Error),
                closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as ledger,
            ):
                query = "SELECT study, round FROM entries WHERE kind = ?"
                found += ledger.execute(query, (kind,)).fetchall()
        return [(study, number) for study, number in found if study == self.study]

    def in_outbox(self) -> int:
        """Files that the site has ready to send."""
        return sum(1 for path in (self.site_home / "outbox").rglob("*") if path.is_file())

    def has_checkpoint(self) -> bool:
        """Whether the round's checkpoint is there, or being written."""
        folder = self.folder / "run" / "checkpoints"
        name = f"round-{ROUND:05d}.safetensors"
        return (folder / name).exists() or (folder / f".{name}.tmp").exists()
