"""Flower's SuperLink without its web server: its state and its handlers, all of them private.

The web server is not used: it answers the control interface on the same port, has no mutual TLS,
and takes 5 ms for a call whose work takes a tenth of one. What it would call is called here, by
tables of what a site and a conductor may ask for; nothing else can be asked for. Nor is Flower's
database used, which takes 20 times as long as its state in memory and never shrinks: nothing in it
need outlive the process, since conductors have checkpoints and sites have outboxes. Objects of any
size lie in files. `tests/server/gate/test_superlink.py` fails loudly when Flower moves a name.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.update(FLWR_TELEMETRY_ENABLED="0", FLWR_DISABLE_UPDATE_CHECK="1")

from flwr.common.constant import NOOP_ACCOUNT_NAME, NOOP_FLWR_AID, SubStatus
from flwr.proto import fleet_pb2 as fleet
from flwr.proto import heartbeat_pb2, message_pb2, run_pb2
from flwr.proto import runtime_pb2 as runtime
from flwr.server.superlink.linkstate import InMemoryLinkState
from flwr.supercore.constant import (
    FLEET_HTTP_PUBLIC_KEY_HEADER,
    NOOP_FEDERATION_ID,
    TASK_TOKEN_HEADER,
)
from flwr.supercore.error import FlowerError
from flwr.supercore.error.catalog import API_ERROR_MAP
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_utils import validate_object_content
from flwr.supercore.servicer.runtime import runtime_handlers as core_handlers
from flwr.superlink.federation import NoOpFederationManager
from flwr.superlink.servicer.fleet import fleet_handlers
from flwr.superlink.servicer.runtime import runtime_handlers
from google.protobuf.message import DecodeError, Message

from fedvox.common.fab import APP, TASK, VERSION, fab, fab_hash
from fedvox.server.gate.objects import FileObjects

KEY_HEADER = FLEET_HTTP_PUBLIC_KEY_HEADER.lower().encode()
"""In which a node names its key."""
TOKEN_HEADER = TASK_TOKEN_HEADER.lower().encode()
"""In which a conductor shows its token."""
logging.getLogger("flwr").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Route:
    """A call: what is asked with, and what answers."""

    request: type[Message]
    answer: Callable[..., Message]


FLEET: Mapping[str, Route] = {
    "activate-node": Route(fleet.ActivateNodeRequest, fleet_handlers.activate_node),
    "deactivate-node": Route(fleet.DeactivateNodeRequest, fleet_handlers.deactivate_node),
    "send-node-heartbeat": Route(
        heartbeat_pb2.SendNodeHeartbeatRequest, fleet_handlers.send_node_heartbeat
    ),
    "pull-messages": Route(
        fleet.PullMessagesRequest,
        lambda request, state: fleet_handlers.pull_messages(request, state, state.object_store),
    ),
    "push-messages": Route(fleet.PushMessagesRequest, fleet_handlers.push_messages),
    "get-run": Route(run_pb2.GetRunRequest, fleet_handlers.get_run),
    "push-object": Route(message_pb2.PushObjectRequest, fleet_handlers.push_object),
    "pull-object": Route(message_pb2.PullObjectRequest, fleet_handlers.pull_object),
    "confirm-message-received": Route(
        message_pb2.ConfirmMessageReceivedRequest,
        lambda request, state: fleet_handlers.confirm_message_received(
            request, state, state.object_store
        ),
    ),
}
"""What a site may ask for. Nodes are registered here and never there; a site fetches no app."""

RUNTIME: Mapping[str, Route] = {
    "send-task-heartbeat": Route(
        runtime.SendTaskHeartbeatRequest, core_handlers.send_task_heartbeat
    ),
    "get-nodes": Route(runtime.GetNodesRequest, runtime_handlers.get_nodes),
    "push-messages": Route(runtime.PushAppMessagesRequest, runtime_handlers.push_messages),
    "pull-messages": Route(runtime.PullAppMessagesRequest, runtime_handlers.pull_messages),
    "push-object": Route(message_pb2.PushObjectRequest, runtime_handlers.push_object),
    "pull-object": Route(message_pb2.PullObjectRequest, runtime_handlers.pull_object),
    "confirm-message-received": Route(
        message_pb2.ConfirmMessageReceivedRequest, runtime_handlers.confirm_message_received
    ),
}
"""What a conductor may ask for."""


class Fault(Exception):
    """A call that was refused or failed, as the other end is told: a status and a code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


@dataclass(frozen=True)
class PushedObject:
    """A request to keep an object, whose content is read out of the message once only."""

    node: Any
    run_id: int
    object_id: str
    session_id: str
    object_content: bytes


def parse(route: Route, body: bytes | memoryview) -> Any:
    """The request in a body; Fault for what is none."""
    request: Any = route.request()
    try:
        request.MergeFromString(bytes(body))
    except DecodeError:
        raise Fault(400, "malformed") from None
    if route.request is not message_pb2.PushObjectRequest:
        return request
    names = ("node", "run_id", "object_id", "session_id", "object_content")
    return PushedObject(*(getattr(request, name) for name in names))


def check_object(request: Any) -> None:
    """Fault where an object is not what its name says, or not an object."""
    content = request.object_content
    if hashlib.sha256(content).hexdigest() != request.object_id:
        raise Fault(400, "not-its-name")
    try:
        validate_object_content(content)
    except Exception:  # Flower has several for what is no object
        raise Fault(400, "malformed") from None


class SuperLink:
    """Flower's nodes, runs, messages and objects."""

    def __init__(self, folder: Path) -> None:
        """Begins with nothing; `folder` is emptied."""
        self._objects = FileObjects(folder)
        self.state: Any = InMemoryLinkState(NoOpFederationManager(), self._objects)
        self.state.store_fab(Fab(fab_hash(), fab(), {}))

    def ask_as_site(self, route: Route, request: Any) -> Any:
        """What Flower answers a site."""
        return _called(route.answer, request, self.state)

    def ask_as_conductor(self, route: Route, request: Any, token: str) -> Any:
        """What Flower answers the conductor that holds the token."""
        return _called(route.answer, request, self.state, self._task(token))

    def run_of(self, token: str) -> int:
        """The run of a conductor's token; Fault where it has none."""
        return int(self._task(token).run_id)

    def _task(self, token: str) -> Any:
        task = self.state.get_task_by_token(token) if token else None
        if task is None:
            raise Fault(401, "token")
        return task

    def register(self, site: str, public_key: bytes) -> int:
        """A new node for a site."""
        account = (NOOP_FLWR_AID, NOOP_ACCOUNT_NAME)
        return int(self.state.create_node(*account, public_key, 0, name=site))

    def unregister(self, node: int) -> None:
        """Takes a node out, with its key: Flower knows neither any more."""
        self.state.delete_node(NOOP_FLWR_AID, node)
        for keys in (self.state.node_public_key_to_node_id, self.state.node_public_keys):
            _without(keys, self.state.nodes[node].public_key)

    def set_offline(self, node: int) -> None:
        """Tells Flower what the gate knows sooner."""
        self.state.deactivate_node(node)

    def open_run(self) -> tuple[int, int, str]:
        """A new run of the app without code: its number, its task's, and the task's token."""
        number = self.state.create_run(
            APP, VERSION, fab_hash(), {}, NOOP_FEDERATION_ID, None, NOOP_FLWR_AID, TASK
        )
        (run,) = self.state.get_run_info(run_ids=[number])
        token = self.state.claim_task(run.primary_task_id)
        if not token or not self.state.activate_task(run.primary_task_id):
            raise Fault(500, "run")
        return int(number), int(run.primary_task_id), str(token)

    def close_run(self, run: int) -> None:
        """Ends a run: its messages and objects are removed, and no answer to it is taken."""
        found = self.state.get_run_info(run_ids=[run])
        if found:
            self.state.finish_task(found[0].primary_task_id, SubStatus.COMPLETED, "")
            self.state.cleanup_run(run)

    # --- what lies ready -------------------------------------------------------------------

    def has_request(self, node: int) -> bool:
        """Whether a request waits for a node, with all that belongs to it."""
        return any(
            message.metadata.dst_node_id == node
            and message.metadata.delivered_at == ""
            and self._is_whole(name)
            for name, message in list(self.state.message_ins_store.items())
        )

    def answered(self, run: int, requests: Iterable[str]) -> list[str]:
        """Which of a run's requests have an answer that came whole, the first one first."""
        wanted = frozenset(requests)
        return [
            message.metadata.reply_to_message_id
            for name, message in list(self.state.message_res_store.items())
            if message.metadata.reply_to_message_id in wanted
            and message.metadata.run_id == run
            and message.metadata.delivered_at == ""
            and self._is_whole(name)
        ]

    def _is_whole(self, message: str) -> bool:
        session = self.state._object_push_session_by_root.get(message)
        found = self.state._object_push_sessions.get(session)
        return found is None or not found.pending_object_ids

    def take_back(self, node: int) -> None:
        """Gives a node again what it has not answered; what it has sent only in part is dropped."""
        for name, answer in list(self.state.message_res_store.items()):
            if answer.metadata.src_node_id == node and not self._is_whole(name):
                session = self.state._object_push_session_by_root[name]
                self.state._cleanup_push_session(session, cleanup_messages=True)
        answered = self.state.message_ins_id_to_message_res_id
        for name, message in list(self.state.message_ins_store.items()):
            if message.metadata.dst_node_id == node and name not in answered:
                message.metadata.delivered_at = ""

    def keep_available(self, requests: Iterable[str], until: float) -> None:
        """Lets answers be fetched of sites that have gone since they gave them."""
        for name in requests:
            message = self.state.message_ins_store.get(name)
            node = self.state.nodes.get(message.metadata.dst_node_id) if message else None
            if node is not None:
                node.online_until = max(node.online_until, until)

    def is_answered(self, request: str) -> bool:
        """Whether a request that is still kept has an answer."""
        return request in self.state.message_ins_id_to_message_res_id

    def kept(self, requests: Iterable[str]) -> set[str]:
        """Which of these requests are still kept."""
        return {name for name in requests if name in self.state.message_ins_store}

    def older_than(self, run: int, created_at: float) -> set[str]:
        """A run's requests that were made before a time."""
        return {
            name
            for name, message in list(self.state.message_ins_store.items())
            if message.metadata.run_id == run and message.metadata.created_at < created_at
        }

    def forget(self, requests: set[str]) -> None:
        """Removes requests, their answers, and what only they refer to."""
        answers = self.state.message_ins_id_to_message_res_id
        names = requests | {answers[name] for name in requests if name in answers}
        self.state.delete_messages(requests)
        for name in names:
            self._objects.delete(name)

    def is_in_file(self, name: str) -> bool:
        """Whether it takes the disk to get an object."""
        return self._objects.is_in_file(name)

    @property
    def object_bytes(self) -> int:
        """How much lies in files."""
        return self._objects.file_bytes

    def close(self) -> None:
        """Removes all files."""
        self._objects.clear()


def _called(answer: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return answer(*arguments)
    except FlowerError as error:
        known = API_ERROR_MAP.get(error.code)
        raise Fault(known.http_status_code if known else 500, f"flower-{int(error.code)}") from None
    except KeyError:  # how Flower says that it does not know a run
        raise Fault(404, "run") from None
    except (ValueError, TypeError, IndexError, AttributeError):
        raise Fault(400, "malformed") from None


def _without(keys: Any, key: bytes) -> None:
    if isinstance(keys, set):
        keys.discard(key)
    else:
        keys.pop(key, None)
