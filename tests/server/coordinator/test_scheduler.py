"""What becomes of a study whose sites are revoked, or whose process ends by accident.

Studies with sites are tried in tests/simulations.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small import tiny

from fedvox.server.coordinator import scheduler as module
from fedvox.server.coordinator.scheduler import Scheduler
from fedvox.server.coordinator.studies import State, Studies
from fedvox.server.gate.ticket import RunTicket

Notes = list[tuple[str, dict[str, Any]]]


def nobodys_run(name: str) -> RunTicket:
    raise AssertionError(f"{name} is not to be conducted")


def a_run(name: str) -> RunTicket:
    """Of a gate that is not there."""
    return RunTicket(1, 1, "token", "/nowhere/runtime.sock", "/nowhere/objects", name)


def scheduler(
    home: Path,
    studies: Studies,
    notes: Notes,
    open_run: Callable[[str], RunTicket] = nobodys_run,
    at_once: int = 1,
) -> Scheduler:
    return Scheduler(
        home,
        studies,
        at_once,
        open_run,
        lambda run: None,
        lambda: ("c",),
        lambda kind, **fields: notes.append((kind, fields)),
    )


def looked_until(own: Scheduler, holds: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        own.look()
        time.sleep(0.02)


def test_a_study_goes_on_without_a_revoked_site(tmp_path: Path) -> None:
    studies, notes = Studies(tmp_path), []
    studies.propose(tiny("study.name=x"), "ann", ("a", "b"))
    own = scheduler(tmp_path, studies, notes)
    own.exclude(("a", "z"))
    own.exclude(("a", "z"))
    record = studies.get("x")
    assert (record.sites, record.excluded) == (("b",), ("a",)) and record.state is State.PROPOSED
    assert notes == [("excluded", {"study": "x", "sites": ["a"]})], "told once"


def test_a_site_that_has_not_joined_yet_is_not_excluded(tmp_path: Path) -> None:
    studies, notes = Studies(tmp_path), []
    studies.propose(tiny("study.name=x"), "ann", ("a", "invited"))
    scheduler(tmp_path, studies, notes).exclude(("other",))
    assert studies.get("x").sites == ("a", "invited") and notes == []


def test_when_all_are_revoked_nobody_else_slips_in(tmp_path: Path) -> None:
    studies, notes = Studies(tmp_path), []
    studies.propose(tiny("study.name=x"), "ann", ("a", "b"))
    studies.act("x", "start")
    own = scheduler(tmp_path, studies, notes)
    own.exclude(("a", "b"))
    own.exclude(("a", "b"))
    own.look()
    assert len(notes) == 1, "told once"
    record = studies.get("x")
    assert (record.state, record.sites, record.excluded) == (State.FAILED, (), ("a", "b"))
    assert "all of its sites were revoked" in record.problem
    studies.act("x", "resume")
    own.look()
    assert studies.get("x").sites == (), "c is a member, and was never asked for"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    """One whose processes are soon started again."""
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 0.05)
    studies, notes = Studies(tmp_path), []
    for name in ("x", "y"):
        studies.propose(tiny(f"study.name={name}"), "ann", ("a", "b"))
    return scheduler(tmp_path, studies, notes, a_run)


def test_a_process_that_ends_in_a_loop_is_told_of(own: Scheduler, tmp_path: Path) -> None:
    studies = own._studies
    studies.act("x", "start")
    (studies.folder("x") / "study.toml").unlink()
    assert own.troubles() == []
    try:
        looked_until(own, lambda: any("2 in a row" in text for text in own.troubles()))
        own.look()
        assert own.troubles(), "also while it is being tried again"
        record = studies.get("x")
        assert record.state is State.RUNNING and "ended by accident (status" in record.problem
        assert "conductor.log says why" in record.problem
        assert (tmp_path / "studies" / "x" / "conductor.log").stat().st_size > 0
        studies.act("x", "stop")
        looked_until(own, lambda: not own._running)
        own.look()
        assert own.troubles() == [], "nobody waits for it any more"
    finally:
        own._end_all()


def test_so_many_at_once_and_the_oldest_first(own: Scheduler, monkeypatch: Any) -> None:
    """A process that is stopped by the system stays where it is."""
    studies = own._studies
    for name in ("y", "x"):
        studies.act(name, "start")
    try:
        own.look()
        os.kill(own._running["x"].process.pid, signal.SIGSTOP)
        own.look()
        assert {s.name: s.state for s in studies.all()} == {"x": "running", "y": "queued"}
        studies.act("x", "pause")
        studies.act("x", "resume")  # before anybody has looked
        first = own._running["x"].process.pid
        own.look()
        os.kill(first, signal.SIGCONT)
        looked_until(own, lambda: "x" in own._running and own._running["x"].process.pid != first)
        assert studies.get("x").state is State.RUNNING, "it begins anew, with the sites of now"
        os.kill(own._running["x"].process.pid, signal.SIGSTOP)
        studies.act("x", "pause")
        own.look()
        assert list(own._running) == ["x", "y"], "a study that is paused makes room"
        os.kill(own._running["x"].process.pid, signal.SIGCONT)
        looked_until(own, lambda: "x" not in own._running)
        assert studies.get("x").state is State.PAUSED
    finally:
        own._end_all()


def test_what_a_study_says_does_not_fill_the_disk(
    own: Scheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LARGEST_LOG_BYTES", 1000)
    own._studies.act("x", "start")
    try:
        own.look()
        os.kill(own._running["x"].process.pid, signal.SIGSTOP)
        log = tmp_path / "studies" / "x" / "conductor.log"
        with log.open("a") as file:
            file.write("z" * 1001)
        own.look()
        assert log.stat().st_size == 0 and log.with_suffix(".log.1").stat().st_size >= 1001
    finally:
        own._end_all()
