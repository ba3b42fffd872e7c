"""Flower's SuperLink without its web server: its state and its handlers, all of them private.

Flower's own web server is not used: it answers the control interface on the same port, has no
mutual TLS, and takes 5 ms for a call whose work takes one. What it would call is called here, by a
table that lists what a site and what a conductor may ask for; nothing else can be asked for.
`tests/server/gate/test_superlink.py` fails loudly when Flower moves one of these names.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.update(
    FLWR_TELEMETRY_ENABLED="0",
    FLWR_DISABLE_UPDATE_CHECK="1",
    FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION="1",
)

from flwr.common.constant import NOOP_ACCOUNT_NAME, NOOP_FLWR_AID, SubStatus
from flwr.proto import fleet_pb2 as fleet
from flwr.proto import heartbeat_pb2, message_pb2, run_pb2
from flwr.proto import runtime_pb2 as runtime
from flwr.supercore.constant import (
    FLEET_HTTP_PUBLIC_KEY_HEADER,
    NOOP_FEDERATION_ID,
    TASK_TOKEN_HEADER,
)
from flwr.supercore.error import FlowerError
from flwr.supercore.error.catalog import API_ERROR_MAP
from flwr.supercore.fab import Fab
from flwr.supercore.servicer.runtime import runtime_handlers as core_handlers
from flwr.superlink.config_loader import (
    get_federation_manager,
    get_objectstore_linkstate_factories,
)
from flwr.superlink.servicer.fleet import fleet_handlers
from flwr.superlink.servicer.runtime import runtime_handlers
from google.protobuf.message import DecodeError, Message
from sqlalchemy import event

from fedvox.common.fab import APP, TASK, VERSION, fab, fab_hash

KEY_HEADER = FLEET_HTTP_PUBLIC_KEY_HEADER.lower().encode()
"""In which a node names its key."""
TOKEN_HEADER = TASK_TOKEN_HEADER.lower().encode()
"""In which a conductor shows its token."""
_PAGE_BYTES = 1 << 16
_CACHE_KIB = 8192
_WAL_BYTES = 64 << 20
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


def parse(route: Route, body: bytes | memoryview) -> Any:
    """The request in a body; Fault for what is none."""
    request = route.request()
    try:
        request.MergeFromString(bytes(body))
    except DecodeError:
        raise Fault(400, "malformed") from None
    return request


class SuperLink:
    """Flower's nodes, runs, messages and objects, in a file that may be thrown away."""

    def __init__(self, database: Path) -> None:
        """Begins with an empty file: what matters is in checkpoints and in the sites' outboxes."""
        for suffix in ("", "-wal", "-shm"):
            Path(f"{database}{suffix}").unlink(missing_ok=True)
        _prepare(database)
        manager = get_federation_manager(False)
        self._objects, factory = get_objectstore_linkstate_factories(str(database), manager)
        self.state: Any = factory.state()
        for store in self._stores():
            store._engine.dispose()
            event.listen(store._engine, "connect", _make_light)
        self.state.store_fab(Fab(fab_hash(), fab(), {}))
        self.database = database

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
        """A node for a site; the same one while its key is the same."""
        known = self.state.get_node_id_by_public_key(public_key)
        if known is not None:
            return int(known)
        return int(
            self.state.create_node(NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, public_key, 0, name=site)
        )

    def unregister(self, node: int) -> None:
        """Takes a node out: Flower knows it no more."""
        self.state.delete_node(NOOP_FLWR_AID, node)

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

    def forget(self, messages: set[str]) -> None:
        """Removes requests, their answers, and what only they refer to."""
        rows = self.state.query(
            "SELECT message_id FROM message_res WHERE reply_to_message_id IN (SELECT value FROM "
            "json_each(:ids))",
            {"ids": json.dumps(sorted(messages))},
        )
        self.state.delete_messages(messages)
        for name in messages | {str(row["message_id"]) for row in rows}:
            self._objects.store().delete(name)

    def drop_unfinished(self, sessions: set[str]) -> None:
        """Removes answers that will not be uploaded to their end, so that others may come."""
        for session in sessions:
            self.state._cleanup_push_session(session, cleanup_messages=True)

    def execute(self, statement: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """A statement on Flower's tables, for what its interface has no call for."""
        return list(self.state.query(statement, dict(values)))

    def close(self) -> None:
        """Lets go of the file."""
        for store in self._stores():
            store._engine.dispose()

    def _stores(self) -> tuple[Any, Any]:
        return self.state, self._objects.store()


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


def _prepare(database: Path) -> None:
    """Settings that an empty file must have before its first table."""
    descriptor = os.open(database, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    os.close(descriptor)
    connection = sqlite3.connect(database)
    try:
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("VACUUM")
    finally:
        connection.close()


def _make_light(connection: Any, _record: Any) -> None:
    """Little memory for each connection, and no waiting for a disk that need not remember."""
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    cursor.execute("PRAGMA synchronous = OFF")
    cursor.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
    cursor.close()
