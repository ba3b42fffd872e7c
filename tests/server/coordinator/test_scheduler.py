"""What becomes of a study whose sites are revoked; processes are tried in tests/simulations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from small import tiny

from fedvox.server.coordinator.scheduler import Scheduler
from fedvox.server.coordinator.studies import State, Studies
from fedvox.server.gate.ticket import RunTicket


def scheduler(home: Path, studies: Studies, notes: list[tuple[str, dict[str, Any]]]) -> Scheduler:
    def open_run(name: str) -> RunTicket:
        raise AssertionError(f"{name} is not to be conducted")

    return Scheduler(
        home,
        studies,
        1,
        open_run,
        lambda run: None,
        lambda: ("c",),
        lambda kind, **fields: notes.append((kind, fields)),
    )


def test_a_study_goes_on_without_a_revoked_site(tmp_path: Path) -> None:
    studies, notes = Studies(tmp_path), []
    studies.propose(tiny("study.name=x"), "ann", ("a", "b"))
    scheduler(tmp_path, studies, notes).restart_with(("b", "c"))
    assert studies.get("x").sites == ("b",) and studies.get("x").state is State.PROPOSED
    assert notes == [("excluded", {"study": "x", "sites": ["a"]})]


def test_when_all_are_revoked_nobody_else_slips_in(tmp_path: Path) -> None:
    studies, notes = Studies(tmp_path), []
    studies.propose(tiny("study.name=x"), "ann", ("a", "b"))
    studies.act("x", "start")
    own = scheduler(tmp_path, studies, notes)
    own.restart_with(("c",))
    own.restart_with(("c",))
    own.look()
    assert len(notes) == 1, "told once"
    record = studies.get("x")
    assert (record.state, record.sites) == (State.FAILED, ("a", "b"))
    assert record.problem == "all of its sites were revoked"
