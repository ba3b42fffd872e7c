"""What is done to a consortium, and when: at least forty ways, all of them named."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from line import Line
from watching import Sight, until

LOOK_FOR_S = 60.0

Harm = Callable[["Scene"], None]


@dataclass(frozen=True)
class Scene:
    """A consortium with a study under way, and the means to harm it."""

    sight: Sight
    lines: dict[str, Line]
    """The line of each site to the coordinator."""
    disks: dict[str, Path]
    """Small file systems: of the coordinator and of one site, where they could be made."""


@dataclass(frozen=True)
class Case:
    """One way to harm a study."""

    name: str
    harm: Harm
    private: bool = False
    seconds: float = 150.0
    """Within which it must be over all the same."""


def phase(name: str, scene: Scene) -> None:
    """Waits until the study is in a phase of its second round."""
    sight = scene.sight
    before = sight.in_outbox()
    seen = {
        "idle": lambda: sight.said("closed", 1),
        "sending": lambda: sight.said("asked"),
        "training": sight.works,
        "reserving": lambda: len(sight.charges()) >= 2,
        "releasing": lambda: sight.works() and sight.in_outbox() > before,
        "folding": lambda: sight.said("trained"),
        "checkpointing": sight.has_checkpoint,
    }[name]
    if name == "releasing":
        until(sight.works, LOOK_FOR_S, name)
        before = sight.in_outbox()
        until(lambda: sight.in_outbox() > before, LOOK_FOR_S, name)
        return
    until(seen, LOOK_FOR_S, name)


def killed(target: str, when: str, times: int = 1) -> Harm:
    """kill -9 of a process in a phase; a supervisor is started again, as systemd would."""

    def harm(scene: Scene) -> None:
        phase(when, scene)
        for turn in range(times):
            if turn:
                time.sleep(1.5)
            scene.sight.kill(target)
            part = {
                "supervisor": scene.sight.consortium.coordinator,
                "site": scene.sight.consortium.sites[scene.sight.site],
            }.get(target)
            if part is not None and part.process is not None:
                part.process.wait()
                part.begin()

    return harm


def away(target: str, seconds: float) -> Harm:
    """Killed, and not started again for a while."""

    def harm(scene: Scene) -> None:
        phase("training", scene)
        consortium = scene.sight.consortium
        part = (
            consortium.coordinator
            if target == "coordinator"
            else consortium.sites[scene.sight.site]
        )
        part.kill()
        time.sleep(seconds)
        part.begin()

    return harm


def stopped_in_order(scene: Scene) -> None:
    """SIGTERM of everything, as at a reboot, and a start in another order."""
    phase("training", scene)
    consortium = scene.sight.consortium
    consortium.coordinator.stop()
    for part in consortium.sites.values():
        part.stop()
        part.begin()
    consortium.coordinator.begin()


def frozen(target: str, seconds: float) -> Harm:
    """SIGSTOP for a while: a process that is there and does not answer."""

    def harm(scene: Scene) -> None:
        phase("training", scene)
        pids = scene.sight.pids(target)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)

    return harm


def line_out(seconds: float, everybody: bool = False, when: str = "training") -> Harm:
    """The line of one site, or of all, is down for a while; what was open is reset."""

    def harm(scene: Scene) -> None:
        phase(when, scene)
        lines = list(scene.lines.values()) if everybody else [scene.lines[scene.sight.site]]
        for line in lines:
            line.down = True
            line.cut()
        time.sleep(seconds)
        for line in lines:
            line.down = False

    return harm


def line_stuck(seconds: float) -> Harm:
    """Open connections stay open, and nothing passes."""

    def harm(scene: Scene) -> None:
        phase("sending", scene)
        line = scene.lines[scene.sight.site]
        line.stuck = True
        time.sleep(seconds)
        line.stuck = False

    return harm


def line_cut(when: str, times: int) -> Harm:
    """Every open connection is reset, several times."""

    def harm(scene: Scene) -> None:
        phase(when, scene)
        for _ in range(times):
            for line in scene.lines.values():
                line.cut()
            time.sleep(0.3)

    return harm


def line_slow(delay_s: float, bytes_per_s: float) -> Harm:
    """A long and narrow line, from the first round on."""

    def harm(scene: Scene) -> None:
        for line in scene.lines.values():
            line.delay_s, line.bytes_per_s = delay_s, bytes_per_s

    return harm


def clock_off(offset: str) -> Harm:
    """A site starts again with its clock wrong by minutes."""

    def harm(scene: Scene) -> None:
        phase("idle", scene)
        part = scene.sight.consortium.sites[scene.sight.site]
        part.kill()
        before = part.prefix
        # The steady clock stays: a wrong wall clock does not make waiting longer.
        part.prefix = ("env", "FAKETIME_DONT_FAKE_MONOTONIC=1", "faketime", "-f", offset)
        part.begin()
        part.prefix = before

    return harm


def disk_full(whose: str, seconds: float) -> Harm:
    """The file system is filled to the last block, and has room again after a while."""

    def harm(scene: Scene) -> None:
        phase("idle", scene)
        filler = scene.disks[whose] / "filler"
        subprocess.run(
            ["dd", "if=/dev/zero", f"of={filler}", "bs=64k"], check=False, capture_output=True
        )
        time.sleep(seconds)
        filler.unlink(missing_ok=True)

    return harm


def nothing(scene: Scene) -> None:
    """No harm: what the others are held against."""


PHASES = ("idle", "sending", "training", "releasing", "folding", "checkpointing")
KILLS = [
    Case(f"kill -9 {target}, {when}", killed(target, when))
    for target in ("coordinator", "conductor", "link", "trainer")
    for when in PHASES
]
CASES = [
    Case("undisturbed", nothing),
    *KILLS,
    Case("kill -9 coordinator's supervisor, training", killed("supervisor", "training")),
    Case("kill -9 coordinator's supervisor, folding", killed("supervisor", "folding")),
    Case("kill -9 site's supervisor, training", killed("site", "training")),
    Case("kill -9 site's supervisor, releasing", killed("site", "releasing")),
    Case("kill -9 conductor three times", killed("conductor", "training", 3)),
    Case("kill -9 trainer three times", killed("trainer", "training", 3)),
    Case("everything stopped and started, as at a reboot", stopped_in_order),
    Case("coordinator away 12 s", away("coordinator", 12)),
    Case("coordinator away 120 s", away("coordinator", 120), seconds=330),
    Case("site away 12 s", away("site", 12)),
    Case("site away 120 s", away("site", 120), seconds=330),
    Case("line of a site out 12 s", line_out(12)),
    Case("line of a site out 120 s", line_out(120), seconds=330),
    Case("partition of all sites that heals, 20 s", line_out(20, everybody=True)),
    Case("line out while folding, 12 s", line_out(12, when="folding")),
    Case("line stuck 20 s", line_stuck(20), seconds=240),
    Case("connections reset ten times", line_cut("sending", 10)),
    Case("200 ms and 1 MB/s", line_slow(0.1, 1e6), seconds=240),
    Case("trainer frozen 12 s", frozen("trainer", 12)),
    Case("link frozen 20 s", frozen("link", 20), seconds=240),
    Case("coordinator frozen 12 s", frozen("coordinator", 12), seconds=240),
    Case("clock of a site 10 min ahead", clock_off("+600s")),
    Case("clock of a site 10 min behind", clock_off("-600s")),
    Case("disk of the coordinator full 10 s", disk_full("coordinator", 10)),
    Case("disk of a site full 10 s", disk_full("site", 10)),
    *(
        Case(f"private: kill -9 trainer, {when}", killed("trainer", when), private=True)
        for when in ("training", "reserving", "releasing", "folding")
    ),
    Case("private: kill -9 link, releasing", killed("link", "releasing"), private=True),
    Case("private: kill -9 conductor, folding", killed("conductor", "folding"), private=True),
    Case("private: kill -9 coordinator, folding", killed("coordinator", "folding"), private=True),
    Case("private: line out 12 s", line_out(12), private=True),
]
