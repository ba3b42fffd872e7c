"""What the link tells the trainer of itself, and what it outlives on its own disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from enrolment import free_port
from trainers import give_identity, new_home

from fedvox.client.contract import trainer_pb2 as wire
from fedvox.client.contract.address import address_of, socket_of
from fedvox.client.contract.heads import MOST_TEXT, LinkSaid, link_from_wire
from fedvox.client.contract.stub import TrainerStub
from fedvox.client.contract.trainer_pb2_grpc import TrainerServicer, add_TrainerServicer_to_server
from fedvox.client.link.loop import Link, Rhythm
from fedvox.client.settings import SiteSettings
from fedvox.common.errors import FedvoxError, IdentityError
from fedvox.common.identity.credentials import Credentials

FAST = Rhythm(retry_s=0.02, longest_retry_s=0.05)


class Listening(TrainerServicer):
    """A trainer that only hears what is said of the link."""

    def __init__(self) -> None:
        self.heard: list[LinkSaid] = []

    def Health(self, asked: wire.HealthRequest, context: Any) -> wire.HealthReply:
        assert asked.HasField("link")
        self.heard.append(link_from_wire(asked.link))
        return wire.HealthReply(site="berlin")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = new_home(tmp_path / "h")
    SiteSettings("berlin", "test", (f"localhost:{free_port()}",)).save(home)
    give_identity(home)
    (home / "run").mkdir()
    return home


@pytest.fixture
def trainer(home: Path) -> Iterator[Listening]:
    found, server = Listening(), grpc.server(ThreadPoolExecutor(2))
    add_TrainerServicer_to_server(found, server)
    assert server.add_insecure_port(address_of(socket_of(home)))
    server.start()
    yield found
    server.stop(None).wait(5)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def link_at(
    home: Path, stub: TrainerStub, identity: Callable[[], Credentials], renew: Callable[[], bool]
) -> Link:
    return Link(home, stub, lambda kind, fields: None, identity, renew, rhythm=FAST)


def test_why_it_is_not_connected_reaches_the_sites_people(home: Path, trainer: Listening) -> None:
    problem: list[FedvoxError] = []

    def renew() -> bool:
        if problem:
            raise problem[0]
        return False

    with TrainerStub(socket_of(home)) as stub:
        link = link_at(home, stub, lambda: Credentials.load(home / "identity"), renew)
        running = threading.Thread(target=link.run)
        running.start()
        until(lambda: bool(trainer.heard))
        assert not trainer.heard[0].connected
        assert "Connection refused" in trainer.heard[0].problem
        # That the certificate has ended says more than what TLS makes of it.
        problem.append(IdentityError("the site's certificate ended on Monday"))
        until(lambda: "ended on Monday" in trainer.heard[-1].problem)
        link.stop.set()
        running.join(10)
    assert not running.is_alive()


def test_papers_that_are_being_replaced_do_not_end_it(
    home: Path, trainer: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    """A join writes several files; a link that came by in between had ended, with the site."""
    chain = home / "identity" / "chain.pem"
    kept = chain.read_bytes()
    with TrainerStub(socket_of(home)) as stub:
        link = link_at(home, stub, lambda: Credentials.load(home / "identity"), lambda: False)
        running = threading.Thread(target=link.run)
        running.start()
        until(lambda: bool(trainer.heard))
        chain.unlink()
        until(lambda: "not found" in trainer.heard[-1].problem)
        assert running.is_alive()
        chain.write_bytes(kept)
        until(lambda: "Connection refused" in trainer.heard[-1].problem)
        link.stop.set()
        running.join(10)


def test_what_cannot_work_from_the_start_is_told_at_once(home: Path) -> None:
    (home / "identity" / "chain.pem").unlink()
    with TrainerStub(socket_of(home)) as stub:
        link = link_at(home, stub, lambda: Credentials.load(home / "identity"), lambda: False)
        with pytest.raises(IdentityError, match="not found"):
            link.run()


def test_what_the_link_says_is_cut_to_what_is_shown() -> None:
    said = wire.LinkState(connected=True, problem="p" * 5000, certificate_until="c" * 5000)
    heard = link_from_wire(said)
    assert len(heard.problem) == MOST_TEXT and len(heard.certificate_until) < 50
