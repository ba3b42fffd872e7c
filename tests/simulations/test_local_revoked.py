"""A hospital is revoked while two studies run: one goes on without it, the other waits for it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from fedvox.common.audit.log import read_log
from fedvox.simulations.local.consortium import LocalConsortium, command, free_port

SITES = ("site-1", "site-2", "site-3")
SMALL = (
    "simulation.sites=3", "simulation.patients=3", "training.local_steps=2",
    "training.batch_size=1", "training.evaluate_every=0", "model.channels=[4, 8]",
    "model.residual_units=0", "training.precision=fp32", "training.rounds=9",
)  # fmt: skip
GOES_ON = ("study.name=goes-on", "participation.min_sites=2", "participation.quorum=0.6")
WAITS = ("study.name=waits", "participation.min_sites=3")


def until(holds: Callable[[], Any], seconds: float) -> Any:
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "did not come true"
        time.sleep(0.1)
    return found


def entries(home: Path, kind: str) -> list[dict[str, Any]]:
    found = [dict(line.fields) for line in read_log(home / "audit.jsonl") if line.kind == kind]
    for entry in found:
        for name in ("answered", "asked", "refused", "sites"):
            if name in entry:
                entry[name] = json.loads(str(entry[name]))
    return found


@pytest.mark.slow
@pytest.mark.xdist_group("consortium")
def test_a_site_is_revoked_while_two_studies_run(tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text("")
    monitor = free_port()
    with LocalConsortium(tmp_path / "c", SITES) as consortium:
        consortium.coordinator.words += ("--monitor-port", str(monitor), "--at-once", "2")
        home = consortium.home
        consortium.found()
        consortium.start_sites()
        for settings in (GOES_ON, WAITS):
            consortium.propose(study, *SMALL, *settings)
        for name in ("goes-on", "waits"):
            consortium.approve(name)
        states = {one["name"]: one["state"] for one in all_studies(home)}
        assert states == {"goes-on": "running", "waits": "running"}
        for name in states:
            until(lambda name=name: consortium.status(name)["round"] >= 2, 60)

        command("consortium", "revoke", "site-3", "--home", str(home))
        revoked_at = time.monotonic()
        gone = until(lambda: site_of(consortium.status("goes-on"), "site-3", "revoked"), 10)
        assert gone["online"] is False
        until(lambda: refused(home, "site-3"), 10 - (time.monotonic() - revoked_at))

        told = consortium.wait_done("goes-on", 90)
        assert told["state"] == "done", told
        assert told["quorum"] == 2 and site_of(told, "site-3", "revoked")
        rounds = [e for e in entries(home, "round") if e["study_sha256"] == told["study_sha256"]]
        assert [e["round"] for e in rounds] == list(range(1, 10))
        answered = [sorted(e["answered"]) for e in rounds]
        assert answered[0] == list(SITES) and answered[-1] == ["site-1", "site-2"]
        assert answered == sorted(answered, key=len, reverse=True), "it does not come back"

        waiting = until(lambda: phase_of(consortium.status("waits"), "waiting"), 60)
        assert waiting["state"] == "running" and waiting["quorum"] == 3
        assert "the study demands 3" in waiting["note"] and site_of(waiting, "site-3", "revoked")
        assert httpx.get(f"http://127.0.0.1:{monitor}/health").json()["healthy"], "nothing is wrong"
        kept = [e for e in entries(home, "round") if e["study_sha256"] == waiting["study_sha256"]]
        assert all(len(e["answered"]) == 3 for e in kept), "no round is closed on fewer"
        excluded = {e["study"]: e["sites"] for e in entries(home, "excluded")}
        assert excluded == {"goes-on": ["site-3"], "waits": ["site-3"]}

        out = tmp_path / "result"
        command("study", "result", "goes-on", "--out", str(out), "--home", str(home))
        sites = json.loads((out / "summary.json").read_text())["sites"]
        assert [site["name"] for site in sites] == list(SITES), "its updates are in the model"
        assert sites[2]["patients_train"] > 0
        assert "across 3 sites" in (out / "report.html").read_text()

        old = rejoined(consortium, "site-3")
        assert consortium.status("waits")["phase"] == "waiting", "until an operator resumes it"
        for act in ("pause", "resume"):
            command("study", act, "waits", "--home", str(home))
        assert entries(home, "readmitted")[0]["sites"] == ["site-3"]
        told = consortium.wait_done("waits", 120)
        assert told["state"] == "done", told
        kept = [e for e in entries(home, "round") if e["study_sha256"] == told["study_sha256"]]
        assert all(len(e["answered"]) == 3 for e in kept) and kept[-1]["round"] == 9

        logs = [home / "audit.jsonl", old, *(consortium.home_of(s) / "audit.jsonl" for s in SITES)]
        root = str(home / "identity" / "ca.pem")
        checked = command("audit", "verify", *map(str, logs), "--authority", root)
        assert checked["holds"], checked


def all_studies(home: Path) -> list[dict[str, Any]]:
    return list(command("study", "list", "--home", str(home))["studies"])


def site_of(told: dict[str, Any], name: str, state: str) -> dict[str, Any] | None:
    return next((s for s in told["sites"] if (s["name"], s["state"]) == (name, state)), None)


def phase_of(told: dict[str, Any], phase: str) -> dict[str, Any] | None:
    return told if told["phase"] == phase else None


def refused(home: Path, site: str) -> bool:
    """Whether the site's next attempt was turned away, and that is on record."""
    return any(
        (e.get("site"), e["reason"]) == (site, "not-a-member") for e in entries(home, "refused")
    )


def rejoined(consortium: LocalConsortium, site: str) -> Path:
    """The hospital is invited again and joins with a new key; its log until then."""
    part, folder = consortium.sites[site], consortium.home_of(site)
    part.stop()
    kit = consortium.folder / "again.kit"
    words = ("consortium", "invite", site, "--again", "--out", str(kit))
    command(*words, "--home", str(consortium.home))
    command("site", "join", str(kit), "--home", str(folder), "--new-key")
    part.begin().wait_ready()
    (old,) = folder.glob("audit-until-*.jsonl")
    return old
