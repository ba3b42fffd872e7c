"""A consortium of real processes over real TLS, from the kits to the report."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import httpx
import namespaces
import pytest

from fedvox.common.cli import main
from fedvox.common.errors import FedvoxError
from fedvox.simulations.local.consortium import LocalConsortium, command, free_port

SMALL = (
    "simulation.sites=2", "simulation.patients=4", "training.rounds=3", "training.local_steps=2",
    "training.evaluate_every=2", "model.channels=[4, 8]", "model.residual_units=1",
    "training.precision=fp32", "study.name=small",
)  # fmt: skip


def words(settings: tuple[str, ...]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "study.toml"
    path.write_text("")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, study: Path) -> Path:
    """What `fedvox simulate` leaves."""
    out = tmp_path_factory.mktemp("simulated") / "run"
    asked = ["simulate", str(study), *words(SMALL), "--out", str(out), "--quiet"]
    assert main(asked) == 0
    return out


STATUS = {"name", "state", "round", "rounds", "sites", "quorum", "model_sha256"}
SITE = {"name", "state", "last_seen", "epsilon_spent"}
STAYS_AT_SITES = {"partition.csv", "samples.npz"}
"""Of a run folder: who is where, and slices of images."""
OWN = {"sites", "checkpoints", ".lock"}
"""Of a run folder: what a run goes on from; in a consortium everybody keeps that for themselves."""


def kept_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_consortium_gives_the_model_of_the_simulation(
    tmp_path: Path, study: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated = str(json.loads((run / "summary.json").read_text())["model_sha256"])
    with LocalConsortium(tmp_path, ["north", "south"]) as consortium:
        monitors = {
            part: free_port() for part in (consortium.coordinator, consortium.sites["north"])
        }
        for part, port in monitors.items():
            part.words += ("--monitor-port", str(port))
        consortium.found()
        consortium.start_sites()
        told = consortium.propose(study, *SMALL)
        assert told["state"] == "queued"
        consortium.approve("small")
        told = consortium.wait_done("small", 120)
        assert told["state"] == "done", told
        assert told["model_sha256"] == simulated
        assert [site["name"] for site in told["sites"]] == ["north", "south"]
        assert told.keys() >= STATUS and all(site.keys() >= SITE for site in told["sites"])
        monkeypatch.setenv("FEDVOX_HOME", str(consortium.home))
        assert command("study", "status", "small")["state"] == "done"
        figures = {}
        for part, port in monitors.items():
            assert httpx.get(f"http://127.0.0.1:{port}/health").json()["healthy"]
            figures[part.name] = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        assert 'fedvox_study_round{study="small"} 3.0' in figures["coordinator"]
        assert 'fedvox_site_online{site="north"} 1.0' in figures["coordinator"]
        assert 'fedvox_site_rounds{study="small"} 3.0' in figures["north"]
        out = tmp_path / "result"
        command("study", "result", "small", "--out", str(out), "--home", str(consortium.home))
        summary = json.loads((out / "summary.json").read_text())
        assert summary["model_sha256"] == simulated and summary["rounds_completed"] == 3
        assert (out / "report.html").stat().st_size > 10_000
        assert kept_in(out) == kept_in(run) - STAYS_AT_SITES - OWN
        assert main(["report", str(out)]) == 0
        assert main(["compare", str(run), str(out), "--out", str(tmp_path / "c.html")]) == 0
        logs = [consortium.home, *(consortium.home_of(site) for site in consortium.names)]
        files = [str(home / "audit.jsonl") for home in logs]
        root = str(consortium.home / "identity" / "ca.pem")
        checked = command("audit", "verify", *files, "--authority", root)
        assert checked["holds"], checked
        assert all(log["entries"] > 3 for log in checked["logs"])
        for part in (*consortium.sites.values(), consortium.coordinator):
            assert part.stop() == 0, f"SIGTERM stops {part.name} in order"
        with pytest.raises(FedvoxError, match="no coordinator answers there; start it with"):
            command("study", "list")


@pytest.mark.slow
@pytest.mark.skipif(not namespaces.can_be_made(), reason="network namespaces cannot be made here")
def test_five_hospitals_in_networks_of_their_own(tmp_path: Path, study: Path) -> None:
    """No party has a way out but to the coordinator's port; a partition that heals costs nothing."""
    sites = [f"site-{number}" for number in range(1, 6)]
    settings = (*SMALL, "simulation.sites=5", "training.rounds=4")
    out = tmp_path / "simulated"
    assert main(["simulate", str(study), *words(settings), "--out", str(out), "--quiet"]) == 0
    expected = json.loads((out / "summary.json").read_text())["model_sha256"]
    with (
        namespaces.bridged(["coordinator", *sites]) as addresses,
        LocalConsortium(
            tmp_path / "c",
            sites,
            port=8443,
            address=addresses["coordinator"],
            inside=namespaces.inside,
        ) as consortium,
    ):
        consortium.found()
        consortium.start_sites()
        consortium.propose(study, *settings)
        consortium.approve("small")
        end = time.monotonic() + 60
        while consortium.status("small")["round"] < 1 and time.monotonic() < end:
            time.sleep(0.05)
        namespaces.set_link(3, "down")
        time.sleep(8)
        namespaces.set_link(3, "up")
        told = consortium.wait_done("small", 240)
        assert (told["state"], told["model_sha256"]) == ("done", expected), told
        assert len(told["sites"]) == 5
        assert namespaces.strayed() == 0, "somebody dialled out"
        outside = "import socket; socket.create_connection(('192.0.2.1', 443), 1)"
        subprocess.run(
            [*namespaces.inside("site-1"), sys.executable, "-c", outside], capture_output=True
        )
        assert namespaces.strayed() > 0, "it would have been seen"
