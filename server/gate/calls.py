"""What may be asked of Flower: its handlers by the names of their calls; nothing else is there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

os.environ.update(FLWR_TELEMETRY_ENABLED="0", FLWR_DISABLE_UPDATE_CHECK="1")

from flwr.proto import fleet_pb2 as fleet
from flwr.proto import heartbeat_pb2, message_pb2, run_pb2
from flwr.proto import runtime_pb2 as runtime
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, TASK_TOKEN_HEADER
from flwr.supercore.error import FlowerError
from flwr.supercore.error.catalog import API_ERROR_MAP
from flwr.supercore.inflatable.inflatable_utils import validate_object_content
from flwr.supercore.servicer.runtime import runtime_handlers as core_handlers
from flwr.superlink.servicer.fleet import fleet_handlers
from flwr.superlink.servicer.runtime import runtime_handlers
from google.protobuf.message import DecodeError, Message

KEY_HEADER = FLEET_HTTP_PUBLIC_KEY_HEADER.lower().encode()
"""In which a node names its key."""
TOKEN_HEADER = TASK_TOKEN_HEADER.lower().encode()
"""In which a conductor shows its token."""


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


def called(answer: Callable[..., Any], *arguments: Any) -> Any:
    """What a handler answers; Fault where it refuses or fails."""
    try:
        return answer(*arguments)
    except FlowerError as error:
        known = API_ERROR_MAP.get(error.code)
        raise Fault(known.http_status_code if known else 500, f"flower-{int(error.code)}") from None
    except KeyError:  # how Flower says that it does not know a run
        raise Fault(404, "run") from None
    except (ValueError, TypeError, IndexError, AttributeError):
        raise Fault(400, "malformed") from None
