"""The link's life: to be connected, to do what is asked for, and to come back from anything."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fedvox.client.contract.heads import LinkSaid
from fedvox.client.contract.stub import TrainerStub, TrainerUnavailable
from fedvox.client.joining.dialling import Proxy
from fedvox.client.link.dial import Line, Refused, Unreachable
from fedvox.client.link.errand import Bounds, Errands, NoLonger
from fedvox.client.link.fleet import Fleet, Instruction
from fedvox.client.link.pace import Pace
from fedvox.client.link.recording import Notary, Recorder
from fedvox.client.settings import SiteSettings
from fedvox.common.errors import FedvoxError, InputError, SiteError
from fedvox.common.identity.addresses import parse_address
from fedvox.common.identity.credentials import Credentials
from fedvox.common.memory import give_freed_memory_back

log = logging.getLogger(__name__)
_SAY_S = 2.0


@dataclass(frozen=True)
class Rhythm:
    """How often things are done."""

    retry_s: float = 0.25
    longest_retry_s: float = 20.0
    poll_s: float = 0.05
    """Between two looks at a coordinator that does not let anybody wait for a message."""
    longest_poll_s: float = 1.0
    heartbeat_s: float = 12.0
    renewal_s: float = 600.0


@dataclass
class Link:
    """Connects a site to its coordinator until it is told to stop."""

    home: Path
    trainer: TrainerStub
    record: Recorder
    identity: Callable[[], Credentials]
    """The site's credentials as they are on the disk now."""
    renew: Callable[[], bool]
    """Renews the certificate where that is due; whether there is a new one."""
    stop: threading.Event = field(default_factory=threading.Event)
    connected: Callable[[], None] = lambda: None
    """Called when the site has told the coordinator that it is there."""
    rhythm: Rhythm = field(default_factory=Rhythm)
    bounds: Bounds = field(default_factory=Bounds)
    _not_renewed: str = ""

    def run(self) -> None:
        """Stays connected; returns when it was told to stop."""
        pace = Pace(self.rhythm.retry_s, self.rhythm.longest_retry_s)
        turn, known = 0, ""
        self.identity()  # what cannot work is told at the start
        while not self.stop.is_set():
            problem = ""
            try:
                self._connect(turn, pace)
            except (Refused, Unreachable) as error:
                problem, turn = str(error), turn + 1
            except InputError as error:  # somebody joins anew meanwhile, or has mistyped
                problem = str(error)
            if self.stop.is_set():
                return
            self._renewed()
            if problem and known != (known := self._not_renewed or problem):
                log.warning("%s; tried again", known)
            if problem:
                self._say(LinkSaid(False, known))
            self.stop.wait(pace.next_s())

    def _connect(self, turn: int, pace: Pace) -> None:
        # Read anew each time: an operator may have corrected the file.
        settings = SiteSettings.load(self.home)
        address = parse_address(settings.addresses[turn % len(settings.addresses)])
        line = Line(self.identity(), Proxy.of(settings))
        try:
            with Fleet(address.url, line) as fleet:
                self._serve(fleet, line, pace)
        except Unreachable as error:
            raise Unreachable(f"{address}: {error}") from None

    def _serve(self, fleet: Fleet, line: Line, pace: Pace) -> None:
        """Does what comes, until the connection is lost or its certificate is a new one."""
        fleet.activate()
        pace.reset()
        log.info("connected")
        self.connected()
        own = line.own
        errands = Errands(
            own.identity.name, self.trainer, Notary(own, self.record), self.stop, self.bounds
        )
        said = LinkSaid(True, certificate_until=_end_of(own))
        beating = _Heart(fleet, errands, self.rhythm.heartbeat_s, lambda: self._say(said))
        try:
            self._listen(fleet, line, errands)
        finally:
            beating.stop()
            if self.stop.is_set():
                with suppress(FedvoxError):
                    fleet.deactivate()

    def _listen(self, fleet: Fleet, line: Line, errands: Errands) -> None:
        idle = Pace(self.rhythm.poll_s, self.rhythm.longest_poll_s)
        renewed_at = time.monotonic()
        while not self.stop.is_set():
            if time.monotonic() - renewed_at > self.rhythm.renewal_s:
                renewed_at = time.monotonic()
                if self._renewed():
                    return
            asked_at = time.monotonic()
            instruction = fleet.next()
            if instruction is not None:
                idle.reset()
                _do(fleet, line, errands, instruction)
                give_freed_memory_back()
            elif time.monotonic() - asked_at < self.rhythm.longest_poll_s:
                self.stop.wait(idle.next_s())

    def _say(self, said: LinkSaid) -> bool:
        """Has the trainer show people at the site how the link stands; whether it was there."""
        try:
            self.trainer.health(_SAY_S, said)
        except (TrainerUnavailable, SiteError):
            return False
        return True

    def _renewed(self) -> bool:
        """Whether there is a new certificate; why there is none is logged when it changes."""
        try:
            renewed, problem = self.renew(), ""
        except FedvoxError as error:
            renewed, problem = False, f"the certificate was not renewed: {error}"
        if problem and problem != self._not_renewed:
            log.warning("%s", problem)
        self._not_renewed = problem
        return renewed


def _end_of(own: Credentials) -> str:
    return own.identity.not_after.isoformat(timespec="seconds")


def _do(fleet: Fleet, line: Line, errands: Errands, instruction: Instruction) -> None:
    """Answers a message; one of a run that is over is dropped."""
    try:
        run = fleet.run(instruction.run_id)
        content = errands.answer(
            run,
            instruction,
            lambda: fleet.fetch(instruction, errands.most_bytes),
            line.coordinator,
        )
        sent_bytes = fleet.answer(content, instruction)
        log.info("answered: %d bytes", sent_bytes)
    except Refused as error:
        if not error.is_over:
            raise
        log.info("dropped: its run is over (%s)", error.code)
    except NoLonger:
        log.info("dropped: its run is over")
    with suppress(Refused):
        fleet.done_with(instruction)


class _Heart:
    """Tells the coordinator that the site is there while it works, and hears when it need not."""

    def __init__(
        self, fleet: Fleet, errands: Errands, every_s: float, say: Callable[[], bool]
    ) -> None:
        self._fleet = fleet
        self._errands = errands
        self._every_s = every_s
        self._say = say
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends it; a beat that is under way is not waited for."""
        self._over.set()

    def _beat(self) -> None:
        while not self._say() and not self._over.wait(min(1.0, self._every_s)):
            pass  # the trainer takes longer to start
        while not self._over.wait(self._every_s):
            with suppress(Refused, Unreachable):  # whoever asks next finds out, and reconnects
                self._fleet.heartbeat()
                self._say()
            working = self._errands.working
            if working is not None:
                self._look_after(working.run_id)

    def _look_after(self, run_id: int) -> None:
        """Stops work that nobody waits for any more."""
        try:
            self._fleet.run(run_id)
        except Refused as error:
            if error.is_over:
                log.info("the run is over: the trainer stops")
                self._errands.cancel()
        except Unreachable:
            return
