"""Trainer processes for tests: a joined site with simulated patients, and its socket."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from fedvox.client.contract.address import socket_of
from fedvox.client.contract.stub import RequestHead, TrainerStub, TrainerUnavailable
from fedvox.client.policy.approvals import Approvals, Decision
from fedvox.client.settings import SiteSettings
from fedvox.common.arrays import Arrays, sha256_of
from fedvox.common.codec import encode
from fedvox.common.identity.certificates import utc_now
from fedvox.common.identity.credentials import write_credentials
from fedvox.common.identity.issuing import Issuer, issue_site, new_issuing, new_root
from fedvox.common.identity.keys import new_key
from fedvox.common.messages import Kind
from fedvox.common.study import Study, dump_study
from fedvox.simulations.resolve import resolve_study

SETTINGS = (
    "simulation.sites=2", "simulation.patients=6", "training.rounds=2", "training.local_steps=1",
    "training.batch_size=1", "training.device=cpu", "training.precision=fp32",
    "model.channels=[4, 8]",
)  # fmt: skip
"""Two sites of seven patients; a round takes a tenth of a second."""


def phantoms(*settings: str) -> Study:
    """A complete study of phantoms, as its proposer sends it."""
    return resolve_study(None, [*SETTINGS, *settings])[0]


def new_home(home: Path, data: str = "phantom:1", site: str = "berlin") -> Path:
    """A site that has joined, without a certificate."""
    home.mkdir(parents=True, exist_ok=True)
    SiteSettings(site, "test", ("localhost:1",), data=data).save(home)
    return home


def decide(home: Path, name: str, decision: Decision) -> None:
    Approvals(home, lambda kind, fields: None).decide(name, decision, "somebody")


def approve(home: Path, study: Study) -> None:
    """Before it ever asked."""
    approvals = Approvals(home, lambda kind, fields: None)
    record = approvals.seen(study, admitted=False)
    approvals.decide(record.study_sha256, Decision.APPROVE, "somebody")


def train(study: Study, number: int, weights: Arrays, kind: Kind = "train") -> RequestHead:
    settings = {"split": "test"} if kind == "evaluate" else {}
    return RequestHead(kind, dump_study(study), number, sha256_of(weights), settings)


def groups(weights: Arrays) -> dict[str, bytes]:
    return {"weights": encode(weights)}


@contextlib.contextmanager
def trainer(
    home: Path, *words: str, wait: bool = True
) -> Iterator[tuple[subprocess.Popen[str], TrainerStub]]:
    """A trainer process that answers, and a stub to ask it; gone when the block is left."""
    command = [sys.executable, "-P", "-m", "fedvox.client.trainer", "--home", str(home), *words]
    log = home / "trainer.log"
    with log.open("a") as written:
        process = subprocess.Popen(command, stderr=written, stdout=written, text=True, env=_env())
    try:
        with TrainerStub(socket_of(home)) as stub:
            if wait:
                until_ready(process, stub, log)
            yield process, stub
    finally:
        process.kill()
        process.wait()


def until_ready(process: subprocess.Popen[str], stub: TrainerStub, log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            stub.health(1.0)
            return
        except TrainerUnavailable:
            time.sleep(0.05)
    raise AssertionError(f"the trainer never answered:\n{log.read_text()}")


def _env() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def give_identity(home: Path, name: str = "berlin") -> None:
    """A key and certificates of the site's own, as joining gives it."""
    now, key = utc_now(), new_key()
    root_key, issuing_key = new_key(), new_key()
    root = new_root("test", root_key, now)
    issuing = new_issuing("test", issuing_key.public_key(), Issuer(root, root_key), now)
    own = issue_site(name, key.public_key(), Issuer(issuing, issuing_key), now, timedelta(days=1))
    write_credentials(home / "identity", key, [own, issuing], root)
