"""A coordinator that lies: refused at the hospital each time, recorded there, and work goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import malicious_coordinator
import pytest
from malicious_coordinator import LIES

from fedvox.common.audit.log import read_log
from fedvox.common.cli import main
from fedvox.simulations.local.consortium import LocalConsortium, Part, command

SITES = ("site-1", "site-2")
SMALL = (
    "simulation.sites=2", "simulation.patients=3", "training.local_steps=2",
    "training.batch_size=1", "training.evaluate_every=0", "model.channels=[4, 8]",
    "model.residual_units=0", "training.precision=fp32", "training.rounds=4",
)  # fmt: skip
PRIVATE = ("privacy.mode=patient", "privacy.epsilon=0", "privacy.noise_multiplier=4.0",
           "privacy.delta=0.01")  # fmt: skip


@dataclass(eq=False)
class Malicious(Part):
    """The coordinator, by another program."""

    def start(self) -> None:
        home, port = self.words[2], self.words[4]
        words = ["--home", home, "--port", port, "--at-once", str(len(LIES) + 1)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, malicious_coordinator.__file__, *words],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )


def sent(home: Path, study: str) -> list[dict[str, Any]]:
    """What has left a site for a study."""
    lines = read_log(home / "audit.jsonl")
    return [dict(x.fields) for x in lines if x.kind == "sent" and x.fields["study"] == study]


@pytest.mark.slow
@pytest.mark.xdist_group("consortium")
def test_a_coordinator_that_lies_gets_nothing(tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text("")
    out = tmp_path / "simulated"
    settings = [word for setting in (*SMALL, "study.name=honest") for word in ("--set", setting)]
    assert main(["simulate", str(study), *settings, "--out", str(out), "--quiet"]) == 0
    expected = json.loads((out / "summary.json").read_text())["model_sha256"]
    with LocalConsortium(tmp_path / "c", SITES) as consortium:
        before = consortium.coordinator
        consortium.coordinator = Malicious(before.name, before.words, before.log)
        consortium.found()
        consortium.start_sites()
        for name in LIES:
            private = PRIVATE if name == "less-noise" else ()
            consortium.propose(study, *SMALL, *private, f"study.name={name}")
        consortium.propose(study, *SMALL, "study.name=honest")
        hashes = {name: consortium.status(name)["study_sha256"] for name in (*LIES, "honest")}
        for name in ("more-rounds", "less-noise", "honest"):
            consortium.approve(name)
        told = consortium.wait_done("honest", 120)
        assert (told["state"], told["model_sha256"]) == ("done", expected), told
        wait_refused(consortium)
        for site in SITES:
            home = consortium.home_of(site)
            log = [dict(line.fields) for line in read_log(home / "audit.jsonl")]
            whats = {entry["what"] for entry in log if entry["kind"] == "refused"}
            assert whats == {"a run with code of its own"}
            # The request for more rounds is of a study that was approved, and is refused as such.
            trained = [e for e in sent(home, "more-rounds") if e["request"] == "train"]
            assert trained and {e["refusal"] for e in trained} == {"study"}
            assert min(e["round"] for e in trained) > 10**5
            assert {e.get("refusal") for e in sent(home, "unapproved")} == {"waiting"}
            # Another noise makes another study, which nobody has approved.
            noisy = [e for e in sent(home, "less-noise") if e["request"] == "train"]
            assert {e["refusal"] for e in noisy} == {"waiting"}
            assert hashes["less-noise"] not in {e["study_sha256"] for e in noisy}
            # An honest log holds, whatever the coordinator did.
            assert command("audit", "verify", str(home / "audit.jsonl"))["holds"]
            ledger = home / "ledger"
            assert not list(ledger.rglob("*.sqlite")), "nothing was charged for it"
        for name in LIES:
            told = consortium.status(name)
            assert told["state"] == "running" and told["round"] == 0, "it waits, and says for whom"
            run = consortium.home / "studies" / name / "run"
            assert not (run / "rounds.jsonl").exists(), f"{name}: no round was closed"


def wait_refused(consortium: LocalConsortium) -> None:
    """Until each site has said no to each lie."""
    end = time.monotonic() + 60
    for site in consortium.names:
        home = consortium.home_of(site)
        while not all(said_no(home, name) for name in LIES if name != "code"):
            assert time.monotonic() < end
            time.sleep(0.3)


def said_no(home: Path, name: str) -> bool:
    kind = "describe" if name == "unapproved" else "train"
    return any(e["request"] == kind and e.get("refusal") for e in sent(home, name))
