"""A conductor's Grid: Flower's runtime calls over the gate's inner socket.

Flower's own HttpGrid holds a model several times over while it sends or receives it, fetches all
answers that are there at once, and waits for answers whose upload has only begun. This one gives
one answer at a time, and only such as have come whole. The private names it uses are messages of
the protocol and the identity that every message is made with. The gate's process uses others, in
`gate/superlink.py`, which are not loaded here: they take a hundred megabytes.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from flwr.app import Error, Message, RecordDict
from flwr.app.constants import DEFAULT_TTL
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto import message_pb2
from flwr.proto import runtime_pb2 as runtime
from flwr.proto.node_pb2 import Node as ProtoNode
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.constant import TASK_TOKEN_HEADER
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from fedvox.common.codec import CodecError
from fedvox.common.errors import FedvoxError
from fedvox.common.frames import framed, unframed
from fedvox.common.memory import give_freed_memory_back
from fedvox.common.parcels import Node, Parcel, count, pack, unpack
from fedvox.common.spool import Spool
from fedvox.server.gate.claims import COORDINATOR_NODE, as_node
from fedvox.server.gate.limits import Limits
from fedvox.server.gate.ticket import RunTicket

WAIT_S = 0.5
"""How long a look for answers waits for the first."""
LIFE_S = 30 * 86400.0
"""Of a request: a round may take days."""
_HEARTBEAT_S = 15.0
_NAME = re.compile(r"[0-9a-f]{64}")
_BODY_BYTES = 4 << 20
_LIMITS = Limits()
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
Answer = TypeVar("Answer")
_made: Any = Message
"""With metadata, as Flower itself makes one; its annotations do not tell of it."""


class GateLost(FedvoxError):
    """The gate is gone or has ended the run: what is under way must begin again on a new run."""


def grid_for(ticket: RunTicket, folder: Path, most_bytes: int = 8 << 30) -> RunGrid:
    """A Grid for the run of a ticket; answers with a group of more bytes are unreadable.

    What has come lies in `folder` until it is read, without a name.
    """
    return RunGrid(ticket, folder, most_bytes)


class RunGrid(Grid):
    """Asks the sites of a run through the gate, and keeps the run alive until it is closed."""

    def __init__(self, ticket: RunTicket, folder: Path, most_bytes: int) -> None:
        TaskIdentity.task_id = ticket.task_id
        TaskIdentity.run_id = ticket.run_id
        TaskIdentity.node_id = COORDINATOR_NODE
        self._ticket = ticket
        self._spool = Spool(folder)
        self._objects = Path(ticket.objects)
        self._most_bytes = most_bytes
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(uds=ticket.runtime, verify=False, trust_env=False),
            base_url="http://gate/v1/runtime/",
            headers={TASK_TOKEN_HEADER: ticket.token},
            timeout=_TIMEOUT,
            trust_env=False,
        )
        self._node = ProtoNode(node_id=COORDINATOR_NODE)
        self._over = threading.Event()
        self._alive = threading.Thread(target=self._stay_alive, name="run", daemon=True)
        self._alive.start()

    def close(self) -> None:
        """Lets go of the run, which ends a minute later unless the gate ends it."""
        self._over.set()
        self._alive.join()
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def set_run(self, run: Run) -> None:
        """The run is that of the ticket."""

    @property
    def run(self) -> Run:
        """An empty description of the run."""
        return Run.create_empty(self._ticket.run_id)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """A message for a node."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Nodes of the sites that are there."""
        return [node.node_id for node in self.get_nodes()]

    def get_nodes(self) -> Sequence[NodeInfo]:
        """The sites that are there: `name` is the site's, `node_id` its node's.

        A site that comes back looks as if it had never left: the gate gives it again what it has
        not answered, so nobody need ask it anew.
        """
        found = self._call("get-nodes", runtime.GetNodesRequest(), runtime.GetNodesResponse)
        for node in found.nodes:
            node.last_activated_at = node.registered_at
        return sorted(found.nodes, key=lambda node: node.name)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Gives the messages to the gate; one that it does not take has an empty name."""
        asked = list(messages)
        for message in asked:
            if message.metadata.ttl == DEFAULT_TTL:
                message.metadata.ttl = LIFE_S
        parcels = pack(asked)
        answer = self._call(
            "push-messages",
            runtime.PushAppMessagesRequest(
                messages_list=[_bare(m, p) for m, p in zip(asked, parcels, strict=True)],
                message_object_trees=[_tree(parcel.root) for parcel in parcels],
            ),
            runtime.PushAppMessagesResponse,
        )
        self._send(parcels, list(answer.objects_to_push), answer.session_id)
        give_freed_memory_back()
        return list(answer.message_ids)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The answer to one of the messages, or none where none has come within a moment."""
        asked = json.dumps({"messages": list(message_ids), "wait_s": WAIT_S}).encode()
        ready = json.loads(self._post("answered", asked, "application/json"))
        if not ready:
            return []
        found = self._call(
            "pull-messages",
            runtime.PullAppMessagesRequest(message_ids=ready[:1]),
            runtime.PullAppMessagesResponse,
        )
        pairs = zip(found.messages_list, found.message_object_trees, strict=True)
        read = [self._read(message, as_node(tree)) for message, tree in pairs]
        give_freed_memory_back()
        return read

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Asks and waits for every answer."""
        pending = set(self.push_messages(messages))
        while pending:
            for message in self.pull_messages(pending):
                pending.discard(message.metadata.reply_to_message_id)
                yield message

    def _read(self, said: Any, root: Node) -> Message:
        """The message; where it cannot be read, one with an error, so that its sender is named."""
        try:
            count(root, _LIMITS.most_objects)
            message = unpack(root, self._fetch, self._most_bytes, self._spool.keep)
            # What was admitted is the metadata at the gate, not that in the object.
            message.__dict__["_metadata"] = message_from_proto(said).metadata
        except CodecError:
            metadata = message_from_proto(said).metadata
            message = _made(metadata=metadata, error=Error(0, "unreadable"))
        self._call(
            "confirm-message-received",
            message_pb2.ConfirmMessageReceivedRequest(
                node=self._node, run_id=self._ticket.run_id, message_object_id=root.name
            ),
            message_pb2.ConfirmMessageReceivedResponse,
        )
        return message

    def _fetch(self, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Objects: large ones from the gate's files, which spares both processes their copies."""
        left = []
        for name in names:
            path = self._objects / name if _NAME.fullmatch(name) else None
            if path and path.exists():
                yield name, path.read_bytes()
            else:
                left.append(name)
        while left:
            asked = [
                message_pb2.PullObjectRequest(
                    node=self._node, run_id=self._ticket.run_id, object_id=name
                ).SerializeToString()
                for name in left[: _LIMITS.frames]
            ]
            answers = self._many("pull-objects", asked)
            for name, frame in zip(left, answers, strict=False):
                said = message_pb2.PullObjectResponse.FromString(frame)
                if not said.object_available:
                    raise CodecError("an object that is not there")
                yield name, said.object_content
            left = left[len(answers) :]

    def _send(self, parcels: Sequence[Parcel], names: Sequence[str], session: str) -> None:
        """Uploads what the gate lacks, small objects together."""
        frames: list[bytes] = []
        size = 0
        for name in names:
            parcel = next(parcel for parcel in parcels if name in parcel.parts)
            if frames and (size + parcel.size(name) > _BODY_BYTES or len(frames) == _LIMITS.frames):
                self._pushed(frames)
                frames, size = [], 0
            size += parcel.size(name)
            frames.append(
                message_pb2.PushObjectRequest(
                    node=self._node,
                    run_id=self._ticket.run_id,
                    object_id=name,
                    object_content=parcel.content(name),
                    session_id=session,
                ).SerializeToString()
            )
        if frames:
            self._pushed(frames)

    def _pushed(self, frames: Sequence[bytes]) -> None:
        for answer in self._many("push-objects", frames):
            if not message_pb2.PushObjectResponse.FromString(answer).stored:
                raise GateLost("the gate does not keep what it was sent; is its disk full?")

    def _many(self, call: str, frames: Sequence[bytes]) -> list[bytes]:
        body = self._post(call, framed(frames), "application/fedvox-frames")
        return [bytes(frame) for frame in unframed(body, len(frames))]

    def _call(self, call: str, request: Any, answer: type[Answer]) -> Answer:
        body = self._post(call, request.SerializeToString(), "application/protobuf")
        found: Answer = answer.FromString(body)  # type: ignore[attr-defined]  # generated
        return found

    def _post(self, call: str, body: bytes, kind: str) -> bytes:
        try:
            response = self._http.post(call, content=body, headers={"content-type": kind})
        except httpx.HTTPError as error:
            raise GateLost(f"the gate does not answer: {type(error).__name__}") from None
        if response.status_code != 200:
            raise GateLost(f"the gate has ended the run, or refuses {call}: {response.text[:200]}")
        return response.content

    def _stay_alive(self) -> None:
        """Tells Flower now and then that the run goes on; else it would end it after a minute."""
        while not self._over.wait(_HEARTBEAT_S):
            try:
                self._call(
                    "send-task-heartbeat",
                    runtime.SendTaskHeartbeatRequest(),
                    runtime.SendTaskHeartbeatResponse,
                )
            except GateLost:
                return  # the next call says so where somebody can hear it


def _bare(message: Message, parcel: Parcel) -> Any:
    message.metadata.__dict__["_message_id"] = parcel.root.name
    return message_to_proto(_made(metadata=message.metadata, content=RecordDict()))


def _tree(node: Node) -> Any:
    children = [_tree(child) for child in node.children]
    return message_pb2.ObjectTree(object_id=node.name, children=children)
