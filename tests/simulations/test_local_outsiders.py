"""Everything that can be tried at the outward port, while a study runs behind it.

Each attempt is refused and in the signed log, and the study ends with the model of the simulation.
"""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import parties
import pytest

from fedvox.client.joining.dialling import Proxy
from fedvox.client.link.dial import Line
from fedvox.common.audit.log import read_log
from fedvox.common.cli import main
from fedvox.common.errors import FedvoxError
from fedvox.common.identity.certificates import utc_now
from fedvox.common.identity.credentials import Credentials, write_credentials
from fedvox.common.identity.issuing import issue_site
from fedvox.common.identity.keys import new_key
from fedvox.common.identity.tls import enrolling_context
from fedvox.server.consortium.recording import authority_at
from fedvox.simulations.local.consortium import LocalConsortium, command

SITES = ("site-1", "site-2")
SMALL = (
    "simulation.sites=2", "simulation.patients=3", "training.local_steps=4",
    "training.batch_size=1", "training.evaluate_every=0", "model.channels=[4, 8]",
    "model.residual_units=0", "training.precision=fp32", "training.rounds=8", "study.name=small",
)  # fmt: skip
EXPECTED = {
    "no-certificate", "no-such-path", "too-large", "content-type", "not-own-key", "malformed",
    "not-own-node", "certificate: certificate has expired",
    "certificate: unable to get local issuer certificate", "head-too-slow",
}  # fmt: skip


class Outsider:
    """Asks at the port of a consortium."""

    def __init__(self, consortium: LocalConsortium, folder: Path) -> None:
        self.consortium = consortium
        self.folder = folder
        self.url = f"https://127.0.0.1:{consortium.port}"

    def everything(self) -> None:
        self.nobody()
        self.wrong_certificates()
        self.member_that_lies()
        with pytest.raises(FedvoxError, match="used"):
            kit = str(self.consortium.folder / "site-1.kit")
            command("site", "join", kit, "--home", str(self.folder / "thief"))

    def nobody(self) -> None:
        with httpx.Client(verify=enrolling_context(), trust_env=False) as http:
            for path in ("/v1/fleet/pull-messages", "/v1/control/start-run", "/v1/runtime/get-run",
                         "/v1/fleet/%2e%2e/control/list-runs", "/health", "/v1/fleet//get-run"):  # fmt: skip
                assert http.post(f"{self.url}{path}", content=b"").status_code in (403, 404, 411)

    def wrong_certificates(self) -> None:
        authority, key, now = authority_at(self.consortium.home), new_key(), utc_now()
        foreign = parties.Authority().issuer
        for name, issuer, since in (
            ("foreign", foreign, now),
            ("expired", authority.issuer(), now - timedelta(days=9)),
        ):
            own = issue_site("site-1", key.public_key(), issuer, since, timedelta(days=1))
            folder = self.folder / name
            root = authority.credentials().root
            write_credentials(folder, key, [own, issuer.certificate], root)
            with self.line(folder) as http, pytest.raises(httpx.TransportError):
                http.post(f"{self.url}/v1/fleet/pull-messages", content=b"")

    def member_that_lies(self) -> None:
        from flwr.proto import fleet_pb2 as fleet
        from flwr.proto.node_pb2 import Node

        own, other = (self.consortium.home_of(site) / "identity" for site in SITES)
        pull = f"{self.url}/v1/fleet/pull-messages"
        with self.line(own) as http:
            mine = {**key_of(own), "content-type": "application/protobuf"}
            another = fleet.PullMessagesRequest(node=Node(node_id=7)).SerializeToString()
            for status, content, headers in (
                (403, b"", {**mine, **key_of(other)}),
                (403, another, mine),
                (400, b"\xff" * 40, mine),
                (415, b"", {**mine, "content-type": "application/json"}),
                (413, b"x" * (1 << 20), mine),
            ):
                said = http.post(pull, content=content, headers=headers)
                assert said.status_code == status, said.text

    @contextlib.contextmanager
    def slow_heads(self) -> Iterator[None]:
        """Connections whose requests do not come to their end."""
        with contextlib.ExitStack() as stack:
            for _ in range(5):
                plain = socket.create_connection(("127.0.0.1", self.consortium.port), 10)
                tls = enrolling_context().wrap_socket(plain, server_hostname="localhost")
                stack.enter_context(tls).sendall(b"POST /v1/fleet/pull-messages HTTP/1.1\r\nx: ")
            yield

    @contextlib.contextmanager
    def line(self, identity: Path) -> Iterator[httpx.Client]:
        line = Line(Credentials.load(identity), Proxy())
        try:
            yield line.http
        finally:
            line.close()


def key_of(identity: Path) -> dict[str, str]:
    key = Credentials.load(identity).identity.public_key
    return {"flwr-public-key": base64.b64encode(key).decode()}


def told(home: Path, kind: str) -> list[dict[str, Any]]:
    return [dict(line.fields) for line in read_log(home / "audit.jsonl") if line.kind == kind]


@pytest.mark.slow
@pytest.mark.xdist_group("consortium")
def test_whatever_is_tried_outside_the_study_goes_on(tmp_path: Path) -> None:
    study, out = tmp_path / "study.toml", tmp_path / "simulated"
    study.write_text("")
    settings = [word for setting in SMALL for word in ("--set", setting)]
    assert main(["simulate", str(study), *settings, "--out", str(out), "--quiet"]) == 0
    expected = json.loads((out / "summary.json").read_text())["model_sha256"]
    with LocalConsortium(tmp_path / "c", SITES) as consortium:
        home = consortium.home
        consortium.found()
        consortium.start_sites()
        outsider = Outsider(consortium, tmp_path)
        with outsider.slow_heads():
            consortium.propose(study, *SMALL)
            consortium.approve("small")
            while consortium.status("small")["state"] == "running":
                outsider.everything()
            state = consortium.wait_done("small", 60)
            end = time.monotonic() + 25
            while not any(e["reason"] == "head-too-slow" for e in told(home, "refused")):
                assert time.monotonic() < end
                time.sleep(0.5)
        assert (state["state"], state["model_sha256"]) == ("done", expected), state
        found = {entry["reason"] for entry in told(home, "refused")}
        assert found >= EXPECTED, EXPECTED - found
        assert {e["code"] for e in told(home, "enrolment-refused")} == {"token-used"}
        rounds = told(home, "round")
        assert [json.loads(entry["refused"]) for entry in rounds] == [{}] * 8
        logs = [home, *map(consortium.home_of, SITES)]
        assert command("audit", "verify", *(str(one / "audit.jsonl") for one in logs))["holds"]
