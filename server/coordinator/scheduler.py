"""Which studies are conducted now: starts their processes, restarts them, stops them."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
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

    async def run(self) -> None:
        """Looks after the studies until it is cancelled; then their processes end."""
        try:
            while True:
                try:
                    self.look()
                except FedvoxError as error:  # a disk that is full has room again some time
                    log.error("looking after the studies: %s", error)
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
        for record in wanted[: self._at_once]:
            if record.name not in self._running and self._is_due(record.name):
                self._begin(record)

    def restart_with(self, sites: tuple[str, ...]) -> None:
        """Sites were revoked: studies that count on one of them go on without it."""
        for record in self._studies.all():
            kept = tuple(site for site in record.sites if site in sites)
            over = (
                (State.DONE, State.STOPPED) if kept else (State.DONE, State.STOPPED, State.FAILED)
            )
            if record.state not in over and kept != record.sites:
                # Without any site left, others must not slip in: it waits for an operator.
                gone = {"problem": "all of its sites were revoked", "state": State.FAILED}
                self._studies.set(record, **({"sites": kept} if kept else gone))
                self._note("excluded", study=record.name, sites=sorted({*record.sites} - {*kept}))
                if running := self._running.get(record.name):
                    self._ask_to_end(running)

    def troubles(self) -> list[str]:
        """Studies that do not get on, in words."""
        now = time.monotonic()
        return [
            f"study {name} ended by accident and is started again"
            for name, pause in self._pauses.items()
            if now < pause.until and name not in self._running
        ]

    def _tend(self, record: Record) -> None:
        running = self._running[record.name]
        status = running.process.poll()
        if status is not None:
            del self._running[record.name]
            with suppress(Exception):  # a run that Flower has ended already
                self._close_run(running.ticket.run_id)
            self._ended(record, running, status)
        elif record.state not in (State.RUNNING, State.QUEUED):
            self._ask_to_end(running)
        if running.asked_to_end and time.monotonic() - running.asked_to_end > _STOP_S:
            running.process.kill()

    def _ended(self, record: Record, running: _Conducted, status: int) -> None:
        if record.state is not State.RUNNING or running.asked_to_end:
            return
        if status == 0:
            self._studies.set(record, state=State.DONE)
            progress = self._studies.progress(record.name)
            self._note("done", study=record.name, model_sha256=progress.get("model_sha256"))
        elif status == _HOPELESS:
            problem = str(self._studies.progress(record.name).get("note", ""))
            self._studies.set(record, state=State.FAILED, problem=problem)
            self._note("failed", study=record.name, problem=problem)
        else:
            pause = self._pauses.setdefault(record.name, _Pause())
            steady = time.monotonic() - running.began > _STEADY_S
            pause.seconds = _FIRST_PAUSE_S if steady or not pause.seconds else pause.seconds * 2
            pause.seconds = min(pause.seconds, _LONGEST_PAUSE_S)
            pause.until = time.monotonic() + pause.seconds
            self._note("conductor ended", study=record.name, status=status)

    def _is_due(self, name: str) -> bool:
        return name not in self._pauses or time.monotonic() >= self._pauses[name].until

    def _begin(self, record: Record) -> None:
        if not record.sites:
            sites = self._active_sites()
            if not sites:
                return  # nobody has joined yet
            record = self._studies.set(record, sites=sites)
        ticket = self._open_run(record.name)
        command = [sys.executable, "-P", "-m", "fedvox.server.coordinator.conductor"]
        log = (self._studies.folder(record.name) / "conductor.log").open("a")
        with log:
            process = subprocess.Popen(
                [*command, "--home", str(self._home), "--study", record.name],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
                env={**os.environ, PARENT: str(os.getpid())},
            )
        if process.stdin is not None:
            with suppress(BrokenPipeError), process.stdin as pipe:
                pipe.write(json.dumps(ticket.as_plain()) + "\n")
        self._running[record.name] = _Conducted(process, ticket, time.monotonic())
        self._studies.set(record, state=State.RUNNING)
        self._note("conducting", study=record.name, sites=list(record.sites))

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
