"""The link as a process: what it passes on, what it refuses, and what it comes back from."""

from __future__ import annotations

import base64
import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import enrolment
import numpy as np
import proxy
import pytest
from flwr.app import Message
from gates import Town, linked, town, until
from small import tiny
from toy_trainer import ToyTrainer, adds_round, serving_trainer

from fedvox.client.contract.address import socket_of
from fedvox.client.contract.heads import ReplyHead, RequestHead
from fedvox.client.contract.stub import TrainerStub
from fedvox.client.link.loop import Link, Rhythm
from fedvox.client.settings import SiteSettings
from fedvox.common import __version__
from fedvox.common.arrays import sha256_of
from fedvox.common.audit.log import read_log
from fedvox.common.audit.rounds import Closed, RoundRecord
from fedvox.common.audit.verify import open_log, wrongs
from fedvox.common.errors import Refusal
from fedvox.common.identity.credentials import Credentials
from fedvox.common.identity.keys import new_key, public_key_of, verify
from fedvox.common.messages import Reply, Request
from fedvox.common.receipt import Receipt, update_sha256
from fedvox.common.study import dump_study, study_hash
from fedvox.common.wire import MESSAGE_TYPES, read_reply, request_content
from fedvox.server.flower_private import GateLost, RunGrid, grid_for

STUDY = tiny()
TEXT = dump_study(STUDY)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("t"), "a", "b") as made:
        yield made


@dataclass
class Linked:
    """A site with its link and a toy trainer."""

    place: Town
    site: str
    toy: ToyTrainer
    process: subprocess.Popen[bytes]

    @property
    def home(self) -> Path:
        return self.place.homes[self.site]

    def audit(self, kind: str) -> list[Mapping[str, Any]]:
        return [line.fields for line in read_log(self.home / "audit.jsonl") if line.kind == kind]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


@contextlib.contextmanager
def joined(place: Town, site: str, toy: ToyTrainer | None = None) -> Iterator[Linked]:
    toy = toy or ToyTrainer()
    home = place.homes[site]
    with serving_trainer(home, toy), linked(home) as process:
        until(lambda: site in place.gate.online())
        yield Linked(place, site, toy, process)
    until(lambda: site not in place.gate.online())


@pytest.fixture
def a(place: Town) -> Iterator[Linked]:
    with joined(place, "a") as made:
        yield made


@dataclass
class Run:
    """A run, and asking its sites."""

    grid: RunGrid
    place: Town
    asked: list[str] = field(default_factory=list)

    def send(self, request: Request, *sites: str) -> list[str]:
        nodes = {node.name: node.node_id for node in self.grid.get_nodes()}
        content, kind = request_content(request), MESSAGE_TYPES[request.kind]
        group = str(request.round)
        messages = [Message(content, nodes[site], kind, group_id=group) for site in sites]
        return list(self.grid.push_messages(messages))

    def replies(self, names: list[str], seconds: float = 20.0) -> list[Reply]:
        left, found, end = set(names), [], time.monotonic() + seconds
        while left and time.monotonic() < end:
            for message in self.grid.pull_messages(left):
                left.discard(message.metadata.reply_to_message_id)
                found.append(read_reply(message))
        assert not left, "an answer is missing"
        return found

    def ask(self, request: Request, *sites: str) -> list[Reply]:
        return self.replies(self.send(request, *sites))


@contextlib.contextmanager
def opened(place: Town, ticket: Any = None) -> Iterator[Run]:
    found = ticket or place.gate.open()
    with grid_for(found, place.folder) as grid:
        yield Run(grid, place)
    place.gate.tell("close", found.run_id)


@pytest.fixture
def run(place: Town) -> Iterator[Run]:
    with opened(place) as made:
        yield made


def weights(elements: int = 100) -> dict[str, np.ndarray]:
    return {"w": np.linspace(0, 1, elements, dtype=np.float32)}


def training(elements: int = 100, round: int = 1, **settings: Any) -> Request:
    arrays = weights(elements)
    return Request("train", TEXT, round, sha256_of(arrays), settings, {"weights": arrays})


# --- what it passes on ------------------------------------------------------------------------


def test_a_request_reaches_the_trainer_and_its_answer_the_conductor(
    place: Town, a: Linked, run: Run
) -> None:
    with joined(place, "b") as b:
        request = training(2_000_000, 3, fedvox=__version__, split="train")
        replies = run.ask(request, "a", "b")
    assert sorted(reply.site for reply in replies) == ["a", "b"]
    for reply in replies:
        assert (reply.round, reply.weights_sha256) == (3, request.weights_sha256)
        assert (reply.examples, reply.figures) == (3, {"loss": 0.5})
        update = reply.arrays["update"]["w"]
        assert update.shape == (2_000_000,)
        assert update.min() >= 3 and update.max() <= 4
        assert_signed(place, reply)
    (head,) = a.toy.asked
    assert head == RequestHead("train", TEXT, 3, request.weights_sha256, {"split": "train"})
    assert b.toy.asked == [head]


def assert_signed(place: Town, reply: Reply) -> None:
    """The receipt is the site's own signature over what it has sent."""
    receipt = Receipt(
        study_hash(STUDY),
        reply.round,
        reply.weights_sha256,
        update_sha256(reply.arrays),
        reply.site,
    )
    own = Credentials.load(place.homes[reply.site] / "identity")
    signature = base64.b64decode(str(reply.facts["receipt"]))
    assert verify(public_key_of(own.identity.public_key), receipt.text, signature)


def test_what_has_left_is_in_the_audit_log(place: Town, a: Linked, run: Run) -> None:
    (reply,) = run.ask(training(round=5), "a")
    sent = a.audit("sent")[-1]
    assert sent["study"] == STUDY.study.name
    assert sent["study_sha256"] == study_hash(STUDY)
    assert (sent["round"], sent["request"]) == (5, "train")
    assert sent["update_sha256"] == update_sha256(reply.arrays)
    assert sent["bytes"] > 400
    log = open_log(a.home / "audit.jsonl", Credentials.load(a.home / "identity").root)
    assert wrongs([log]) == []


def test_a_description_goes_without_tensors(a: Linked, run: Run) -> None:
    (reply,) = run.ask(Request("describe", TEXT), "a")
    assert (reply.examples, reply.facts["contract"], reply.arrays) == (3, "c", {})


def test_a_refusal_of_the_trainer_is_passed_on(place: Town, run: Run) -> None:
    def refuses(request: RequestHead, _: Mapping[str, bytes]) -> tuple[ReplyHead, dict[str, bytes]]:
        return ReplyHead("x", request.round, request.weights_sha256, refusal=Refusal.BUDGET), {}

    with joined(place, "a", ToyTrainer(refuses)) as a:
        (reply,) = run.ask(training(), "a")
        assert (reply.site, reply.refusal, reply.arrays) == ("a", Refusal.BUDGET, {})
        assert a.audit("sent")[-1]["refusal"] == "budget"


def test_nothing_stays_at_the_gate(place: Town, a: Linked, run: Run) -> None:
    for number in range(1, 9):
        run.ask(training(1_500_000, number), "a")
    folder = place.gate.home / "gate" / "objects"
    held = sum(file.stat().st_size for file in folder.iterdir())
    assert held <= 6_200_000, "more than the model of a round is kept"


def test_it_does_not_listen_and_sees_no_images(a: Linked) -> None:
    pid = a.process.pid
    own = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            assert not (words[3] == "0A" and f"socket:[{words[9]}]" in own), "it listens"
    mapped = Path(f"/proc/{pid}/maps").read_text()
    for heavy in ("torch", "scipy", "SimpleITK", "gdcm"):
        assert f"/{heavy}/" not in mapped, f"{heavy} is loaded"


# --- what it refuses --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "what"),
    [("", "a run with code of its own"), ("flwr-agentapp", "another kind of task")],
)
def test_a_run_with_code_is_refused_and_nothing_is_fetched(
    place: Town, a: Linked, task: str, what: str
) -> None:
    from fedvox.server.gate.ticket import RunTicket

    ticket = RunTicket.from_plain(place.gate.tell("open-with-code", task))
    with opened(place, ticket) as evil:
        (reply,) = evil.ask(training(), "a")
    assert (reply.site, reply.refusal) == ("a", Refusal.STUDY)
    assert a.toy.asked == []
    assert a.audit("refused")[-1]["what"] == what


def test_another_release_is_refused_and_says_what_it_is(a: Linked, run: Run) -> None:
    (reply,) = run.ask(training(fedvox="99.0"), "a")
    assert (reply.refusal, reply.facts["fedvox"]) == (Refusal.VERSION, __version__)
    assert a.toy.asked == []
    assert a.audit("refused")[-1]["theirs"] == "99.0"
    assert "install fedvox 99.0" in (a.home / "link.log").read_text()


def test_what_is_no_request_is_refused(place: Town, a: Linked, run: Run) -> None:
    from flwr.app import ConfigRecord, RecordDict

    (node,) = [node.node_id for node in run.grid.get_nodes() if node.name == "a"]
    for content in (
        RecordDict({"other": ConfigRecord({"x": 1})}),
        RecordDict({"request": ConfigRecord({"kind": "shell"}), "settings": ConfigRecord()}),
    ):
        names = list(run.grid.push_messages([Message(content, node, "train")]))
        (reply,) = run.replies(names)
        assert reply.refusal is Refusal.WEIGHTS
    assert a.toy.asked == []
    assert a.audit("refused")[-1]["what"] == "unreadable"


def test_a_closed_round_is_kept_if_the_coordinator_has_signed_it(
    place: Town, a: Linked, run: Run
) -> None:
    record = RoundRecord(study_hash(STUDY), 1, "1" * 64, "2" * 64, ("a",), {"a": "3"}, {}, ())
    own = Credentials.load(place.gate.home / "identity")
    true, forged = Closed.by(own.key, record), Closed.by(new_key(), record)
    before = len(a.audit("closed"))
    run.ask(training(round=2, closed=forged.packed), "a")
    assert len(a.audit("closed")) == before
    assert a.audit("closed-unsigned")
    for number in (3, 4):
        run.ask(training(round=number, closed=true.packed), "a")
    assert [one["record"] for one in a.audit("closed")[before:]] == [true.packed], "kept once"
    assert all("closed" not in head.settings for head in a.toy.asked)
    log = open_log(a.home / "audit.jsonl", None)
    assert wrongs([log]) == []


# --- what it comes back from ------------------------------------------------------------------


def test_a_trainer_that_is_not_there_is_waited_for(place: Town, run: Run) -> None:
    with linked(place.homes["a"]):
        until(lambda: "a" in place.gate.online())
        names = run.send(training(), "a")
        assert run.grid.pull_messages(names) == []
        with serving_trainer(place.homes["a"], ToyTrainer()):
            (reply,) = run.replies(names)
    assert reply.refusal is None and reply.arrays
    until(lambda: "a" not in place.gate.online())


@dataclass
class Slow:
    """Work that takes until it is let go on."""

    begun: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def __call__(
        self, request: RequestHead, groups: Mapping[str, bytes]
    ) -> tuple[ReplyHead, dict[str, bytes]]:
        self.begun.set()
        assert self.go_on.wait(60)
        return adds_round(request, groups)


def test_a_link_that_is_killed_while_the_trainer_works_is_asked_again(
    place: Town, run: Run
) -> None:
    slow = Slow()
    with serving_trainer(place.homes["a"], ToyTrainer(slow)) as toy:
        with linked(place.homes["a"]) as process:
            until(lambda: "a" in place.gate.online())
            names = run.send(training(round=7), "a")
            assert slow.begun.wait(20)
            process.kill()
            process.wait(10)
        slow.go_on.set()
        with linked(place.homes["a"]):
            (reply,) = run.replies(names)
            assert (reply.site, reply.round, reply.refusal) == ("a", 7, None)
            assert len(toy.asked) == 2
    until(lambda: "a" not in place.gate.online())


def test_a_link_that_is_killed_while_it_sends_is_asked_again(place: Town, run: Run) -> None:
    """Half an answer is dropped, and the whole one taken."""
    with serving_trainer(place.homes["a"], ToyTrainer()):
        with linked(place.homes["a"]) as process:
            until(lambda: "a" in place.gate.online())
            names = run.send(training(6_000_000, 8), "a")
            folder = place.gate.home / "gate" / "objects"
            until(lambda: sum(1 for _ in folder.iterdir()) >= 7)
            process.kill()
            process.wait(10)
        with linked(place.homes["a"]):
            (reply,) = run.replies(names, 40)
            assert (reply.round, reply.refusal) == (8, None)
    until(lambda: "a" not in place.gate.online())


def test_work_for_a_run_that_ends_is_stopped(place: Town) -> None:
    slow, home = Slow(), place.homes["a"]
    said: list[str] = []
    with (
        serving_trainer(home, ToyTrainer(slow)) as toy,
        TrainerStub(socket_of(home)) as trainer,
    ):
        link = Link(
            home,
            trainer,
            lambda kind, fields: said.append(kind),
            lambda: Credentials.load(home / "identity"),
            lambda: False,
            rhythm=Rhythm(heartbeat_s=0.3),
        )
        running = threading.Thread(target=link.run)
        running.start()
        until(lambda: "a" in place.gate.online())
        with opened(place) as run:
            run.send(training(), "a")
            assert slow.begun.wait(20)
        until(lambda: toy.cancelled == [study_hash(STUDY)])
        slow.go_on.set()
        with opened(place) as run:
            assert run.ask(training(round=2), "a")[0].refusal is None
            link.stop.set()
            run.send(training(round=3), "a")  # wakes it
        running.join(20)
    assert not running.is_alive()
    assert said == ["sent"] * len(said)
    until(lambda: "a" not in place.gate.online())


def test_it_ends_when_it_is_told_to(place: Town) -> None:
    with joined(place, "a") as a:
        begun = time.monotonic()
        a.process.send_signal(signal.SIGTERM)
        assert a.process.wait(10) == 0
        assert time.monotonic() - begun < 3
        until(lambda: "a" not in place.gate.online(), 2)


def test_a_site_that_has_not_joined_is_told_how_to(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fedvox.client.link", "--home", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2
    assert "fedvox site join" in done.stderr and "Traceback" not in done.stderr


def test_another_address_is_tried_and_a_proxy_is_used(place: Town, tmp_path: Path) -> None:
    home = place.homes["a"]
    settings = SiteSettings.load(home)
    dead = f"127.0.0.1:{enrolment.free_port()}"
    with proxy.connect_proxy(password="me:secret") as through:
        changed = replace(
            settings,
            addresses=(dead, *settings.addresses),
            proxy=f"http://me:secret@127.0.0.1:{through.port}",
        )
        changed.save(home)
        try:
            with joined(place, "a"), opened(place) as run:
                assert run.ask(training(), "a")[0].refusal is None
        finally:
            settings.save(home)
    assert through.asked[0] == dead and through.asked[-1] == settings.addresses[0]
    assert b"loss" not in through.tunnelled, "the proxy could read what went through it"


def test_the_environment_does_not_lead_it_elsewhere(
    place: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    with joined(place, "a"), opened(place) as run:
        assert run.ask(training(), "a")[0].refusal is None


def test_a_gate_that_is_killed_is_come_back_to(tmp_path: Path) -> None:
    """With a new state: new nodes and runs. And a revoked site is told nothing more."""
    with town(tmp_path, "a") as place, joined(place, "a") as a:
        with opened_then_lost(place) as run:
            place.gate.kill()
            with pytest.raises(GateLost):
                run.send(training(), "a")
        time.sleep(1)
        place.gate.start()
        until(lambda: "a" in place.gate.online(), 30)
        with opened(place) as run:
            (reply,) = run.ask(training(round=2), "a")
            assert (reply.round, reply.refusal) == (2, None)
        place.revoke("a")
        until(lambda: place.gate.tell("connections")["connections"] == 0, 10)
        time.sleep(1)
        assert a.process.poll() is None, "it goes on asking, in case that it was a mistake"
        assert "not-a-member" in (a.home / "link.log").read_text()


@contextlib.contextmanager
def opened_then_lost(place: Town) -> Iterator[Run]:
    with grid_for(place.gate.open(), place.folder) as grid:
        yield Run(grid, place)
