"""What is told of a running study follows from its events."""

import json
from pathlib import Path
from typing import Any

from small import tiny

from fedvox.server.coordinator.progress import Progress
from fedvox.server.coordinator.status import study_status
from fedvox.server.coordinator.studies import Record, State
from fedvox.server.events import Event


def told(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())  # type: ignore[no-any-return]


def test_the_file_follows_the_events(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    study = tiny("training.rounds=3", "participation.quorum=0.5")
    progress = Progress(path, study, ["b", "a", "c"])
    progress(Event("started", detail={"sites": ["a", "b"], "resumed_from": 1}))
    assert told(path)["quorum"] == 2 and told(path)["round"] == 1
    assert {s: x["state"] for s, x in told(path)["sites"].items()} == {
        "a": "ready", "b": "ready", "c": "expected",
    }  # fmt: skip
    progress(Event("trained", 2, "a", {"loss": 1.0, "epsilon": 1.5}))
    progress(Event("refused", 2, "b", detail={"code": "hours"}))
    progress(Event("awaited", 2, detail={"sites": {"c": "", "b": "paused"}}))
    assert told(path)["note"] == "waits for b, c"
    assert told(path)["sites"]["b"]["state"] == "paused"
    assert told(path)["sites"]["a"] == {"state": "answered", "epsilon": 1.5}
    progress(Event("closed", 2))
    assert (told(path)["round"], told(path)["note"]) == (2, "")
    progress(Event("evaluated", 2, "", {"dice": 0.5}))
    progress.phase("done", model_sha256="f" * 64)
    assert told(path)["model_sha256"] == "f" * 64 and told(path)["metrics"] == {"dice": 0.5}


def test_a_conductor_that_begins_again_knows_what_was_spent(tmp_path: Path) -> None:
    figures = {
        "epsilon": 3.5, "delta": 1e-3, "noise_multiplier": 1.0, "sample_rate": 0.1,
        "clip_norm": 1.0, "steps": 4,
    }  # fmt: skip
    lines = [{"round": 7, "sites": {"a": figures}}]
    progress = Progress(tmp_path / "p", tiny("training.rounds=9"), ["a", "b"], lines)
    progress.phase("training")
    assert told(tmp_path / "p")["round"] == 7
    progress(Event("awaited", 8, detail={"sites": {"a": ""}}))
    assert told(tmp_path / "p")["sites"]["a"] == {"state": "awaited", "epsilon": 3.5}
    Progress(tmp_path / "q", tiny(), ["b", "c"], lines).phase("training")
    kept = told(tmp_path / "q")
    assert kept["sites"]["a"]["epsilon"] == 3.5, "also of a site that was revoked since"
    assert kept["quorum"] == 2, "of those that are left"


def test_a_status_says_who_is_away_and_who_is_waited_for() -> None:
    record = Record("x", "0" * 64, State.RUNNING, "ann", "t0", "t1", ("a", "b"))
    progress = {"round": 2, "sites": {"a": {"state": "awaited", "epsilon": 2.0}}, "quorum": 2}
    status = study_status(record, tiny("training.rounds=5"), progress, {"a": (True, "t2")})
    assert (status["state"], status["round"], status["rounds"]) == ("running", 2, 5)
    assert status["sites"] == [
        {"name": "a", "online": True, "state": "awaited", "last_seen": "t2", "epsilon_spent": 2.0},
        {"name": "b", "online": False, "state": "away", "last_seen": None, "epsilon_spent": 0.0},
    ]


def test_a_status_says_who_was_revoked_and_why_nothing_gets_on() -> None:
    record = Record(
        "x", "0" * 64, State.RUNNING, "ann", "t0", "t1", ("a",), "its process ended", ("b",)
    )
    progress = {"sites": {"b": {"state": "answered", "epsilon": 2.0}}, "note": "waits for a"}
    status = study_status(record, tiny("participation.min_sites=2"), progress, {"a": (True, "t")})
    assert [(s["name"], s["state"], s["epsilon_spent"]) for s in status["sites"]] == [
        ("a", "expected", 0.0),
        ("b", "revoked", 2.0),
    ]
    assert status["note"] == "its process ended; waits for a" and status["quorum"] == 2
