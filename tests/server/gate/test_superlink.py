"""Flower's private names that the gate stands on: they are there, and do what the gate counts on."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.proto import fleet_pb2, message_pb2
from flwr.proto.node_pb2 import Node
from flwr.supercore.task_identity import TaskIdentity

from fedvox.common.fab import TASK, fab_hash
from fedvox.common.identity.keys import new_key, public_pem
from fedvox.common.parcels import Parcel, pack
from fedvox.server.flower_private import _bare, _tree
from fedvox.server.gate.calls import FLEET, RUNTIME, Fault, check_object, parse
from fedvox.server.gate.superlink import SuperLink

NAMES = {
    "flwr.common.constant": ("NOOP_ACCOUNT_NAME", "NOOP_FLWR_AID", "SubStatus"),
    "flwr.common.serde": ("message_from_proto", "message_to_proto"),
    "flwr.server.superlink.linkstate": ("InMemoryLinkState",),
    "flwr.supercore.constant": (
        "FLEET_HTTP_PUBLIC_KEY_HEADER", "NOOP_FEDERATION_ID", "TASK_TOKEN_HEADER",
    ),
    "flwr.supercore.error": ("FlowerError",),
    "flwr.supercore.error.catalog": ("API_ERROR_MAP",),
    "flwr.supercore.fab": ("Fab",),
    "flwr.supercore.inflatable.inflatable_utils": ("validate_object_content",),
    "flwr.supercore.object_store.in_memory_object_store": ("InMemoryObjectStore",),
    "flwr.supercore.servicer.runtime.runtime_handlers": ("send_task_heartbeat",),
    "flwr.supercore.task_identity": ("TaskIdentity",),
    "flwr.superlink.federation": ("NoOpFederationManager",),
    "flwr.superlink.servicer.fleet.fleet_handlers": (
        "activate_node", "deactivate_node", "send_node_heartbeat", "pull_messages",
        "push_messages", "get_run", "push_object", "pull_object", "confirm_message_received",
    ),
    "flwr.superlink.servicer.runtime.runtime_handlers": (
        "get_nodes", "push_messages", "pull_messages", "push_object", "pull_object",
        "confirm_message_received",
    ),
    "flwr.supernode.fleet_http_client": ("FleetHttpClient",),
}  # fmt: skip
STATE = (
    "store_fab", "get_task_by_token", "create_node", "delete_node", "nodes",
    "node_public_key_to_node_id", "node_public_keys", "deactivate_node", "create_run",
    "get_run_info", "claim_task", "activate_task", "finish_task", "cleanup_run",
    "message_ins_store", "message_res_store", "message_ins_id_to_message_res_id",
    "_object_push_session_by_root", "_object_push_sessions", "_cleanup_push_session",
    "delete_messages", "object_store",
)  # fmt: skip


@pytest.mark.parametrize("module", NAMES)
def test_flower_has_what_is_used_of_it(module: str) -> None:
    found = importlib.import_module(module)
    missing = [name for name in NAMES[module] if not hasattr(found, name)]
    assert not missing, f"Flower has moved {missing} out of {module}: look at what replaces them"


def test_flowers_client_can_be_given_a_connection() -> None:
    from flwr.supernode.fleet_http_client import FleetHttpClient

    client = FleetHttpClient("https://127.0.0.1:1", interceptors=[])
    client.close()
    # The link sets these by itself, so that nothing is taken from the environment.
    assert vars(client).keys() == {"_base_url", "_client", "_interceptors", "_retry_invoker"}


@pytest.fixture
def link(tmp_path: Path) -> SuperLink:
    return SuperLink(tmp_path / "objects")


def test_the_state_has_what_is_used_of_it(link: SuperLink) -> None:
    missing = [name for name in STATE if not hasattr(link.state, name)]
    assert not missing, f"Flower's state has no {missing} any more"


class Site:
    """A node, as its link would ask for it."""

    def __init__(self, link: SuperLink, name: str = "a") -> None:
        self.link = link
        self.key = public_pem(new_key().public_key())
        self.number = link.register(name, self.key)
        self.node = Node(node_id=self.number)
        self.ask("activate-node", public_key=self.key, heartbeat_interval=30.0)

    def ask(self, call: str, **fields: Any) -> Any:
        route = FLEET[call]
        return self.link.ask_as_site(route, route.request(**fields))

    def pull(self) -> Any:
        found = self.ask("pull-messages", node=self.node)
        return found.messages_list[0] if found.messages_list else None


class Conductor:
    """A run, as its conductor would ask for it."""

    def __init__(self, link: SuperLink) -> None:
        self.link = link
        self.run, self.task, self.token = link.open_run()
        TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = self.run, self.task, 1

    def ask(self, call: str, **fields: Any) -> Any:
        route = RUNTIME[call]
        return self.link.ask_as_conductor(route, route.request(**fields), self.token)

    def request(self, node: int, *, whole: bool = True, size: int = 10) -> str:
        content = RecordDict({"request": ConfigRecord({"kind": "x" * size})})
        message = Message(content, node, "train", group_id="1")
        (parcel,) = pack([message])
        said = self.ask(
            "push-messages",
            messages_list=[_bare(message, parcel)],
            message_object_trees=[_tree(parcel.root)],
        )
        for name in said.objects_to_push if whole else said.objects_to_push[:-1]:
            assert self.push(name, parcel, said.session_id)
        return parcel.root.name

    def push(self, name: str, parcel: Parcel, session: str) -> bool:
        return bool(
            self.ask(
                "push-object",
                node=Node(node_id=1),
                run_id=self.run,
                object_id=name,
                object_content=parcel.content(name),
                session_id=session,
            ).stored
        )


def answer(site: Site, to: Any, run: int, *, whole: bool = True) -> str:
    """The site's answer to a request."""
    from flwr.common.serde import message_from_proto

    asked = message_from_proto(to)
    reply = Message(RecordDict({"reply": ConfigRecord({"n": 1})}), reply_to=asked)
    (parcel,) = pack([reply])
    said = site.ask(
        "push-messages",
        node=site.node,
        messages_list=[_bare(reply, parcel)],
        message_object_trees=[_tree(parcel.root)],
        clientapp_runtime_list=[0.0],
    )
    names = said.objects_to_push if whole else said.objects_to_push[:-1]
    for name in names:
        assert site.ask(
            "push-object",
            node=site.node,
            run_id=run,
            object_id=name,
            object_content=parcel.content(name),
            session_id=said.session_id,
        ).stored
    return parcel.root.name


def test_a_request_is_there_once_all_of_it_is(link: SuperLink) -> None:
    site, conductor = Site(link), Conductor(link)
    conductor.request(site.number, whole=False)
    assert not link.has_request(site.number)
    name = conductor.request(site.number)
    assert link.has_request(site.number)
    assert not link.has_request(site.number + 1)
    pulled = {site.pull().metadata.message_id for _ in range(2)}
    assert name in pulled


def test_an_answer_is_there_once_all_of_it_is(link: SuperLink) -> None:
    site, conductor = Site(link), Conductor(link)
    name = conductor.request(site.number)
    to = site.pull()
    answer(site, to, conductor.run, whole=False)
    assert link.answered(conductor.run, [name]) == []
    link.take_back(site.number)
    answer(site, site.pull(), conductor.run)
    assert link.answered(conductor.run, [name, "other"]) == [name]
    assert link.answered(conductor.run + 1, [name]) == []


def test_what_was_not_answered_is_given_again(link: SuperLink) -> None:
    site, other, conductor = Site(link), Site(link, "b"), Conductor(link)
    name, done = conductor.request(site.number), conductor.request(other.number)
    assert site.pull().metadata.message_id == name
    answer(other, other.pull(), conductor.run)
    assert site.pull() is None
    for node in (site.number, other.number):
        link.take_back(node)
    assert site.pull().metadata.message_id == name
    assert other.pull() is None
    assert link.is_answered(done) and not link.is_answered(name)


def test_an_answer_of_a_site_that_has_gone_since_is_not_lost(link: SuperLink) -> None:
    import time

    site, conductor = Site(link), Conductor(link)
    name = conductor.request(site.number)
    answer(site, site.pull(), conductor.run)
    link.set_offline(site.number)
    link.keep_available([name], time.time() + 1)
    (got,) = conductor.ask("pull-messages", message_ids=[name]).messages_list
    assert not got.HasField("error")
    assert got.metadata.src_node_id == site.number


def test_nothing_is_left_of_what_is_forgotten(link: SuperLink) -> None:
    site, conductor = Site(link), Conductor(link)
    name = conductor.request(site.number)
    answer(site, site.pull(), conductor.run)
    link.forget({name, "unknown"})
    assert len(link.state.object_store) == 0
    assert not link.state.message_ins_store and not link.state.message_res_store


def test_large_objects_lie_in_files_that_go_with_them(link: SuperLink, tmp_path: Path) -> None:
    site, conductor = Site(link), Conductor(link)
    name = conductor.request(site.number, size=1 << 20)
    assert link.object_bytes > 1 << 20
    (file,) = (tmp_path / "objects").iterdir()
    assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name
    got = site.ask("pull-object", node=site.node, run_id=conductor.run, object_id=file.name)
    assert got.object_content == file.read_bytes()
    link.forget({name})
    assert link.object_bytes == 0
    assert list((tmp_path / "objects").iterdir()) == []


def test_a_closed_run_leaves_nothing_and_takes_nothing(link: SuperLink, tmp_path: Path) -> None:
    site, conductor = Site(link), Conductor(link)
    conductor.request(site.number, size=1 << 20)
    to = site.pull()
    link.close_run(conductor.run)
    assert list((tmp_path / "objects").iterdir()) == []
    assert len(link.state.object_store) == 0
    with pytest.raises(Fault):
        answer(site, to, conductor.run)
    with pytest.raises(Fault, match="token"):
        conductor.ask("get-nodes")


def test_a_full_disk_is_said_and_leaves_nothing(link: SuperLink, tmp_path: Path) -> None:
    site, conductor = Site(link), Conductor(link)
    (tmp_path / "objects").rmdir()  # as far as writing goes, a disk that is full
    with pytest.raises(AssertionError):
        conductor.request(site.number, size=1 << 20)
    assert not link.has_request(site.number)
    assert link.object_bytes == 0


def test_what_an_earlier_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "old").write_bytes(b"x")
    SuperLink(tmp_path / "objects")
    assert list((tmp_path / "objects").iterdir()) == []


def test_a_run_is_of_the_app_without_code(link: SuperLink) -> None:
    site, conductor = Site(link), Conductor(link)
    said = site.ask("get-run", node=site.node, run_id=conductor.run).run
    assert (said.fab_hash, said.primary_task_type) == (fab_hash(), TASK)


def test_a_run_that_is_not_known_is_no_failure_of_the_gate(link: SuperLink) -> None:
    site = Site(link)
    with pytest.raises(Fault) as fault:
        site.ask("pull-object", node=site.node, run_id=5, object_id="x")
    assert fault.value.status == 404


def test_nodes_carry_their_sites_names(link: SuperLink) -> None:
    Site(link, "st-anna")
    conductor = Conductor(link)
    assert [node.name for node in conductor.ask("get-nodes").nodes] == ["st-anna"]


def test_a_site_that_left_may_come_back_with_its_key(link: SuperLink) -> None:
    site = Site(link)
    link.unregister(site.number)
    with pytest.raises(Fault):
        site.ask("activate-node", public_key=site.key, heartbeat_interval=30.0)
    assert link.register("a", site.key) != site.number


def test_calls_that_are_not_listed_do_not_exist() -> None:
    assert "register-node" not in FLEET and "get-fab" not in FLEET
    assert "acquire-task" not in RUNTIME and "create-task" not in RUNTIME


def test_what_is_no_request_is_malformed() -> None:
    with pytest.raises(Fault, match="malformed"):
        parse(FLEET["pull-messages"], b"\xff\xff\xff")
    assert parse(FLEET["pull-messages"], b"") == fleet_pb2.PullMessagesRequest()


@pytest.mark.parametrize("content", [b"", b"x", b"ArrayChunk  9\0abc", b"Alien  3\0abc"])
def test_objects_are_checked(content: bytes) -> None:
    name = hashlib.sha256(content).hexdigest()
    with pytest.raises(Fault, match="malformed"):
        check_object(message_pb2.PushObjectRequest(object_id=name, object_content=content))
    with pytest.raises(Fault, match="not-its-name"):
        check_object(message_pb2.PushObjectRequest(object_id="f" * 64, object_content=content))
    good = b"ArrayChunk  3\0abc"
    name = hashlib.sha256(good).hexdigest()
    check_object(message_pb2.PushObjectRequest(object_id=name, object_content=good))
