"""A member of the consortium that lies: refused each time, recorded, and the study goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import malicious_link
import pytest

from fedvox.common.audit.log import read_log
from fedvox.simulations.local.consortium import LocalConsortium, command

SITES = ("site-1", "site-2", "site-3")
SETTINGS = (
    "study.name=small", "simulation.sites=3", "simulation.patients=3", "training.rounds=11",
    "training.local_steps=1", "training.batch_size=1", "training.evaluate_every=0",
    "model.channels=[4, 8]", "model.residual_units=0", "training.precision=fp32",
    "participation.quorum=0.6", "participation.retries=0",
)  # fmt: skip


@pytest.mark.xdist_group("consortium")
def test_a_site_that_lies_costs_only_itself(tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text("")
    with LocalConsortium(tmp_path / "c", SITES) as consortium, ExitStack() as stack:
        consortium.found()
        for site in SITES[:2]:
            consortium.sites[site].begin()
        liar = str(consortium.home_of("site-3"))
        for words in (
            ("-m", "fedvox.client.trainer", "--home", liar),
            (malicious_link.__file__, "--home", liar),
        ):
            process = subprocess.Popen(
                [sys.executable, *words],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
        for site in SITES[:2]:
            consortium.sites[site].wait_ready()
        consortium.propose(study, *SETTINGS)
        consortium.approve("small")
        told = consortium.wait_done("small", 180)
        assert told["state"] == "done", told
        folder = consortium.home / "studies" / "small" / "run"
        lines = map(json.loads, (folder / "rounds.jsonl").read_text().splitlines())
        found = {line["round"]: line["refused"].get("site-3", "") for line in lines}
        assert found == {number: malicious_link.LIES.get(number, "") for number in range(1, 12)}
        entries = [e.fields for e in read_log(consortium.home / "audit.jsonl") if e.kind == "round"]
        refused = {e["round"]: json.loads(str(e["refused"])).get("site-3", "") for e in entries}
        assert refused == found, "and all of it is in the signed log"
        homes = [consortium.home, *map(consortium.home_of, SITES)]
        checked = command("audit", "verify", *(str(home / "audit.jsonl") for home in homes))
        assert checked["holds"]
