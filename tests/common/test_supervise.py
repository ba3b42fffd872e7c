"""Real processes that end, crash, hang and are orphaned."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fedvox.common.loglines import LineLog
from fedvox.common.supervise import Child, Supervisor

SAY = "from fedvox.common.supervised import *; die_with_parent(); import time, sys, os; "
Lines = list[tuple[str, str]]


def child(name: str, code: str, stop_s: float = 10.0) -> Child:
    return Child(name, (sys.executable, "-P", "-c", SAY + code), stop_s=stop_s)


class Running:
    """A supervisor in a thread of its own."""

    def __init__(self, *children: Child) -> None:
        self.lines: Lines = []
        self.ready = threading.Event()
        self.status: int | None = None
        self.supervisor = Supervisor(
            children, lambda name, line: self.lines.append((name, line)), self.ready.set
        )
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.status = self.supervisor.run()

    def until(self, fact: Callable[[], bool], patience_s: float = 30.0) -> None:
        end = time.monotonic() + patience_s
        while not fact():
            assert time.monotonic() < end, self.lines
            time.sleep(0.01)

    def said(self, name: str, text: str) -> int:
        return sum(n == name and text in line for n, line in list(self.lines))

    def stop(self) -> None:
        self.supervisor.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()


def test_ready_is_said_once_when_all_are_and_they_stop_in_reverse() -> None:
    forever = "say_ready(); time.sleep(60)"
    running = Running(child("first", forever), child("second", "time.sleep(0.5); " + forever))
    assert running.ready.wait(30)
    running.stop()
    ends = [line for line in running.lines if "ended" in line[1]]
    assert ends == [("second", "ended with SIGTERM"), ("first", "ended with SIGTERM")]
    assert running.status == 0


def test_one_that_is_not_ready_keeps_all_from_being_ready() -> None:
    running = Running(
        child("first", "say_ready(); time.sleep(60)"), child("second", "time.sleep(60)")
    )
    assert not running.ready.wait(1.5)
    running.stop()


def test_what_ends_is_started_again_after_growing_pauses() -> None:
    running = Running(child("crash", "print('alive', flush=True); os._exit(1)"))
    running.until(lambda: running.said("crash", "started") == 4)
    running.stop()
    assert running.said("crash", "alive") >= 3
    assert running.said("crash", "ended with status 1") >= 3


def test_bad_input_is_not_tried_again_and_ends_all() -> None:
    running = Running(
        child("good", "say_ready(); time.sleep(60)"),
        child("bad", "print('no such home', file=sys.stderr); sys.exit(2)"),
    )
    running.until(lambda: running.status is not None)
    running.stop()
    assert running.status == 2
    assert running.said("bad", "started") == 1
    assert running.said("bad", "no such home") == 1
    assert running.said("good", "ended with SIGTERM") == 1


def test_what_does_not_end_is_killed() -> None:
    deaf = "import signal; signal.signal(15, signal.SIG_IGN); say_ready(); time.sleep(60)"
    running = Running(child("deaf", deaf, stop_s=0.5))
    assert running.ready.wait(30)
    running.stop()
    assert running.said("deaf", "killed") == 1
    assert running.said("deaf", "ended with SIGKILL") == 1


def test_every_line_is_heard_also_the_last_without_an_end() -> None:
    code = "print('x' * 200000); [print('line', n) for n in range(2000)]; sys.stdout.write('last'); sys.stdout.flush(); os._exit(3)"
    running = Running(child("talker", code))
    running.until(lambda: running.said("talker", "ended with status 3") >= 1)
    running.stop()
    until = running.lines.index(("talker", "ended with status 3"))
    heard = [line for name, line in running.lines[:until] if not line.startswith("started")]
    assert sum(map(len, (line for line in heard if line.startswith("x")))) == 200000
    assert [line for line in heard if not line.startswith("x")] == [
        *(f"line {n}" for n in range(2000)),
        "last",
    ]


def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom fedvox.common.supervise import *\n"
        f"child = Child('c', (sys.executable, '-P', '-c', {SAY!r} + \"say_ready(); time.sleep(60)\"))\n"
        "Supervisor([child], lambda n, l: print(l, flush=True), lambda: print('ready', flush=True)).run()\n"
    )
    supervisor = subprocess.Popen(
        [sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, text=True
    )
    assert supervisor.stdout is not None
    pid = int(supervisor.stdout.readline().removeprefix("started as process "))
    assert supervisor.stdout.readline() == "ready\n"
    os.kill(pid, 0)
    supervisor.kill()
    supervisor.wait()
    end = time.monotonic() + 10
    while (
        Path(f"/proc/{pid}").exists() and "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    ):
        assert time.monotonic() < end
        time.sleep(0.02)
    supervisor.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_it_in_order(number: signal.Signals) -> None:
    code = (
        "import sys\nfrom fedvox.common.supervise import *\n"
        f"child = Child('c', (sys.executable, '-P', '-c', {SAY!r} + \"say_ready(); time.sleep(60)\"))\n"
        "sys.exit(Supervisor([child], lambda n, l: print(l, flush=True), lambda: print('ready', flush=True)).run())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdout is not None
        supervisor.stdout.readline()
        assert supervisor.stdout.readline() == "ready\n"
        supervisor.send_signal(number)
        assert supervisor.stdout.readline() == "ended with SIGTERM\n"
        assert supervisor.wait(20) == 0


def test_a_log_has_one_object_a_line(tmp_path: Path) -> None:
    import json

    log = LineLog(tmp_path / "log" / "site.log", show=False)
    log("trainer", "plain text")
    log("link", '{"level": "info", "text": "own fields"}')
    log("link", "{broken")
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "log" / "site.log").read_text().splitlines()]
    assert [(line["process"], line["text"]) for line in lines] == [
        ("trainer", "plain text"), ("link", "own fields"), ("link", "{broken"),
    ]  # fmt: skip
    assert all("time" in line for line in lines)
    assert lines[1]["level"] == "info"
