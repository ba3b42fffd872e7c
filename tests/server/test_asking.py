"""Sites that come, go, start anew or cannot work yet, on a grid that loses what a dead site had."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from flwr.app import Message
from flwr.supercore.task_identity import TaskIdentity

from fedvox.common.errors import Refusal
from fedvox.common.messages import Reply, Request
from fedvox.common.wire import reply_message
from fedvox.server import asking
from fedvox.server.asking import Answers, Ear, Patience, ask
from fedvox.server.presence import Online, Seat


@pytest.fixture(autouse=True)
def _identity() -> None:
    """Flower makes messages only for a task that it knows."""
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_AGAIN_S", 0.05)
    monkeypatch.setattr(asking, "_TELL_S", 0.02)
    monkeypatch.setattr(asking, "POLL_S", 0.002)


@dataclass
class Network:
    """A grid and who is there; `script` says what each look brings."""

    script: list[Mapping[str, Any]]
    """Per look: "seats", and answers (site -> refusal or None)."""
    sent: list[tuple[str, int]] = field(default_factory=list)
    _pending: dict[str, Message] = field(default_factory=dict)
    _step: int = -1

    def _now(self) -> Mapping[str, Any]:
        return self.script[min(self._step, len(self.script) - 1)]

    def seats(self) -> Mapping[str, Seat]:
        self._step += 1
        return {name: Seat(node, since) for name, (node, since) in self._now()["seats"].items()}

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        names = []
        for message in messages:
            identity = f"m{len(self.sent)}"
            message.metadata.__dict__["_message_id"] = identity
            node = message.metadata.dst_node_id
            self.sent.append((identity, node))
            self._pending[identity] = message
            names.append(identity)
        return names

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        told = []
        for node, refusal in self._now().get("answers", {}).items():
            for identity in list(self._pending):
                message = self._pending[identity]
                if message.metadata.dst_node_id == node and identity in message_ids:
                    told.append(reply_message(Reply(f"site{node}", refusal=refusal), message))
                    del self._pending[identity]
        return told


def asked(network: Network, sites: Iterable[str], patience: Patience | None = None) -> Answers:
    told: list[dict[str, str]] = []
    ear = Ear(lambda site, reply: None, awaited=told.append)
    wanted = list(sites)
    request = Request("describe", "")
    answers = ask(
        network,
        network,
        wanted,
        request,
        patience or Patience(need=len(wanted)),
        ear,  # type: ignore[arg-type]
    )
    network.told = told  # type: ignore[attr-defined]
    return answers


def test_a_site_that_comes_late_is_asked_when_it_comes() -> None:
    here, late = {"a": (1, "t0")}, {"a": (1, "t0"), "b": (2, "t1")}
    network = Network(
        [{"seats": here, "answers": {1: None}}] * 5 + [{"seats": late, "answers": {2: None}}]
    )
    assert asked(network, ["a", "b"]).answered == ["a", "b"]
    assert [node for _, node in network.sent] == [1, 2]


def test_a_site_that_started_anew_is_asked_again() -> None:
    network = Network(
        [
            {"seats": {"a": (1, "t0")}},
            {"seats": {}},  # away
            {"seats": {"a": (1, "t1")}},  # back: what it was asked is lost
            {"seats": {"a": (1, "t1")}, "answers": {1: None}},
        ]
    )
    assert asked(network, ["a"]).answered == ["a"]
    assert len(network.sent) == 2


def test_a_site_that_is_away_for_a_while_but_kept_its_message_is_not_asked_twice() -> None:
    network = Network(
        [{"seats": {"a": (1, "t0")}}, {"seats": {}}, {"seats": {}, "answers": {1: None}}]
    )
    assert asked(network, ["a"]).answered == ["a"]
    assert len(network.sent) == 1


def test_a_site_that_waits_for_a_person_is_asked_until_it_works_whatever_the_retries() -> None:
    seats = {"a": (1, "t0")}
    waiting = {"seats": seats, "answers": {1: Refusal.WAITING}}
    network = Network([waiting] * 60 + [{"seats": seats, "answers": {1: None}}])
    answers = asked(network, ["a"], Patience(need=1, retries=0))
    assert answers.answered == ["a"] and not answers.refused
    assert len(network.sent) > 2
    assert {"a": "waiting"} in network.told  # type: ignore[attr-defined]


def test_after_the_deadline_the_rest_is_late_with_the_reason_where_there_is_one() -> None:
    seats = {"a": (1, ""), "b": (2, ""), "c": (3, "")}
    network = Network([{"seats": seats, "answers": {1: None, 2: Refusal.HOURS}}])
    answers = asked(network, ["a", "b", "c"], Patience(need=1, deadline_s=0.1))
    assert (answers.answered, answers.late) == (["a"], ["b", "c"])
    assert answers.refused == {"b": "hours"}


def test_below_the_need_a_deadline_closes_nothing() -> None:
    seats = {"a": (1, ""), "b": (2, "")}
    few = {"seats": seats, "answers": {1: None}}
    network = Network([few] * 200 + [{"seats": seats, "answers": {2: None}}])
    answers = asked(network, ["a", "b"], Patience(need=2, deadline_s=0.01))
    assert answers.answered == ["a", "b"]


def test_only_the_consortiums_own_sites_count_as_there() -> None:
    @dataclass
    class Node:
        name: str
        node_id: int
        last_activated_at: str = "t"

    class Grid:
        looks = 0

        def get_nodes(self) -> list[Node]:
            self.looks += 1
            return [Node("a", 7), Node("stranger", 8)]

    grid = Grid()
    online = Online(grid, ["a", "b"])  # type: ignore[arg-type]
    assert online.seats() == online.seats() == {"a": Seat(7, "t")}
    assert grid.looks == 1, "a network is not asked at every look"
