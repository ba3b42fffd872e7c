"""Which studies are conducted now: starts their processes, restarts them, stops them."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fedvox.common.errors import FedvoxError
from fedvox.common.supervised import PARENT
from fedvox.server.coordinator.studies import Record, State, Studies
from fedvox.server.gate.ticket import RunTicket

log = logging.getLogger(__name__)
_LOOK_S = 0.2
_TROUBLED_S = 2.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
_STEADY_S = 120.0
"""A process that ran so long is started again at once."""
_STOP_S = 15.0
_HOPELESS = 2
_LARGEST_LOG_BYTES = 8 << 20
NOBODY_LEFT = (
    "all of its sites were revoked; stop it, or invite them again and `fedvox study resume` it"
)

Note = Callable[..., object]
"""Writes what happened into the audit log: kind, then fields by name."""


@dataclass
class _Conducted:
    """A study's process."""

    process: subprocess.Popen[str]
    ticket: RunTicket
    began: float
    asked_to_end: float = 0.0


@dataclass
class _Pause:
    """How long until a study that ended by accident is started again."""

    seconds: float = 0.0
    until: float = 0.0
    accidents: int = 0
    """In a row, none of them long after the one before."""


class Scheduler:
    """Conducts up to `at_once` studies at a time, the oldest proposals first."""

    def __init__(
        self,
        home: Path,
        studies: Studies,
        at_once: int,
        open_run: Callable[[str], RunTicket],
        close_run: Callable[[int], None],
        active_sites: Callable[[], tuple[str, ...]],
        note: Note,
    ) -> None:
        self._home = home
        self._studies = studies
        self._at_once = at_once
        self._open_run = open_run
        self._close_run = close_run
        self._active_sites = active_sites
        self._note = note
        self._running: dict[str, _Conducted] = {}
        self._pauses: dict[str, _Pause] = {}
        self._failing = ""
        """Why the last look failed."""

    async def run(self) -> None:
        """Looks after the studies until it is cancelled; then their processes end."""
        try:
            while True:
                try:
                    self.look()
                    self._failing = ""
                except (FedvoxError, OSError) as error:  # a full disk has room again some time
                    self._failing = f"studies are not looked after: {error}"
                    log.error("%s", self._failing)
                    await asyncio.sleep(_TROUBLED_S)
                except Exception as error:
                    self._failing = f"studies are not looked after: {type(error).__name__}"
                    log.exception("looking after the studies failed; it is tried again")
                    await asyncio.sleep(_TROUBLED_S)
                await asyncio.sleep(_LOOK_S)
        finally:
            self._end_all()

    def look(self) -> None:
        """One look: what ended, what is to end, what is to begin."""
        for name in list(self._running):
            self._tend(self._studies.get(name))
        going = (State.QUEUED, State.RUNNING)
        wanted = [record for record in self._studies.all() if record.state in going]
        for name in self._pauses.keys() - {record.name for record in wanted}:
            del self._pauses[name]
        for record in wanted[: self._at_once]:
            if record.name not in self._running and self._is_due(record.name):
                self._begin(record)

    def exclude(self, revoked: Collection[str]) -> None:
        """Sites were revoked: studies that count on one of them go on without it."""
        for record in self._studies.all():
            gone = tuple(site for site in record.sites if site in revoked)
            if not gone or record.state in (State.DONE, State.STOPPED):
                continue
            changes: dict[str, object] = {
                "sites": tuple(site for site in record.sites if site not in gone),
                "excluded": tuple(sorted({*record.excluded, *gone})),
            }
            if not changes["sites"]:
                # Others must not slip in: it waits for an operator.
                changes |= {"problem": NOBODY_LEFT, "state": State.FAILED}
            self._studies.set(record, **changes)
            self._note("excluded", study=record.name, sites=list(gone))
            if running := self._running.get(record.name):
                self._ask_to_end(running)

    def troubles(self) -> list[str]:
        """Studies that do not get on, in words. From any thread."""
        failing = [self._failing] if self._failing else []
        return failing + [
            f"study {name}: its process has ended by accident, {pause.accidents} in a row; "
            f"studies/{name}/conductor.log says why"
            for name, pause in list(self._pauses.items())
            if self._is_troubled(name, pause)
        ]

    def _is_troubled(self, name: str, pause: _Pause) -> bool:
        running = self._running.get(name)
        if running is None:
            return True
        return pause.accidents > 1 and time.monotonic() - running.began < _STEADY_S

    def _tend(self, record: Record) -> None:
        running = self._running[record.name]
        status = running.process.poll()
        if status is not None:
            del self._running[record.name]
            with suppress(Exception):  # a run that Flower has ended already
                self._close_run(running.ticket.run_id)
            self._ended(record, running, status)
        elif record.state is not State.RUNNING:
            self._ask_to_end(running)  # one that was paused and resumed in a moment begins anew
        elif not running.asked_to_end:
            self._is_well(record, running)
            self._keep_log_short(record.name)
        if running.asked_to_end and time.monotonic() - running.asked_to_end > _STOP_S:
            running.process.kill()

    def _is_well(self, record: Record, running: _Conducted) -> None:
        """Takes note of a study that runs well again."""
        if record.problem and time.monotonic() - running.began > _STEADY_S:
            self._pauses.pop(record.name, None)
            self._studies.set(record, problem="")

    def _ended(self, record: Record, running: _Conducted, status: int) -> None:
        if record.state is not State.RUNNING or running.asked_to_end:
            return
        if status == 0:
            self._studies.set(record, state=State.DONE, problem="")
            progress = self._studies.progress(record.name)
            self._note("done", study=record.name, model_sha256=progress.get("model_sha256"))
        elif status == _HOPELESS:
            problem = str(self._studies.progress(record.name).get("note", ""))
            self._studies.set(record, state=State.FAILED, problem=problem)
            self._note("failed", study=record.name, problem=problem)
        else:
            self._pause(record, time.monotonic() - running.began > _STEADY_S, status)

    def _pause(self, record: Record, was_steady: bool, status: int) -> None:
        pause = self._pauses.get(record.name)
        if pause is None or was_steady:
            pause = self._pauses[record.name] = _Pause()
        pause.accidents += 1
        pause.seconds = min(max(_FIRST_PAUSE_S, 2 * pause.seconds), _LONGEST_PAUSE_S)
        pause.until = time.monotonic() + pause.seconds
        how = f"status {status}" if status >= 0 else signal.Signals(-status).name
        problem = (
            f"its process ended by accident ({how}, {pause.accidents} in a row) and is started "
            f"again; studies/{record.name}/conductor.log says why"
        )
        self._studies.set(record, problem=problem)
        self._note("conductor ended", study=record.name, status=status)

    def _is_due(self, name: str) -> bool:
        return name not in self._pauses or time.monotonic() >= self._pauses[name].until

    def _begin(self, record: Record) -> None:
        if not record.sites:
            sites = () if record.excluded else self._active_sites()
            if not sites:
                return  # nobody has joined yet, or nobody is left
            record = self._studies.set(record, sites=sites)
        ticket = self._open_run(record.name)
        try:
            process = self._started(record.name)
        except OSError:
            self._close_run(ticket.run_id)
            raise
        if process.stdin is not None:
            with suppress(BrokenPipeError), process.stdin as pipe:
                pipe.write(json.dumps(ticket.as_plain()) + "\n")
        self._running[record.name] = _Conducted(process, ticket, time.monotonic())
        self._studies.set(record, state=State.RUNNING)
        self._note("conducting", study=record.name, sites=list(record.sites))

    def _started(self, name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "fedvox.server.coordinator.conductor"]
        with self._log_of(name).open("a") as log:
            return subprocess.Popen(
                [*command, "--home", str(self._home), "--study", name],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
                env={**os.environ, PARENT: str(os.getpid())},
            )

    def _log_of(self, name: str) -> Path:
        return self._studies.folder(name) / "conductor.log"

    def _keep_log_short(self, name: str) -> None:
        """A study of thousands of rounds does not fill the disk with what was said of them."""
        path = self._log_of(name)
        if path.stat().st_size > _LARGEST_LOG_BYTES:
            shutil.copyfile(path, path.with_suffix(".log.1"))
            os.truncate(path, 0)  # the process appends to it

    def _ask_to_end(self, running: _Conducted) -> None:
        if not running.asked_to_end:
            running.asked_to_end = time.monotonic()
            running.process.send_signal(signal.SIGTERM)

    def _end_all(self) -> None:
        for running in self._running.values():
            self._ask_to_end(running)
        for running in self._running.values():
            try:
                running.process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                running.process.kill()
                running.process.wait()
