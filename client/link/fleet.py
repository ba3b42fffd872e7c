"""The site's end of Flower's fleet protocol, over mutual TLS: the one module that knows Flower.

Every call is the link's own doing: it asks, and nobody can call it. A bundle of code is never
asked for. What an answer may hold is bounded before it is read.
"""

from __future__ import annotations

import os
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

os.environ.update(FLWR_TELEMETRY_ENABLED="0", FLWR_DISABLE_UPDATE_CHECK="1")

import httpx
from flwr.app import Message, RecordDict
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto import fleet_pb2 as fleet
from flwr.proto import heartbeat_pb2, message_pb2, run_pb2
from flwr.proto.node_pb2 import Node as ProtoNode
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER
from flwr.supernode.fleet_http_client import FleetHttpClient

from fedvox.client.link.dial import Line, Refused, Unreachable, code_of
from fedvox.common.codec import CodecError
from fedvox.common.frames import framed, unframed
from fedvox.common.parcels import Node, Parcel, count, pack, unpack

HEARTBEAT_S = 30
WAIT_S = 15
MOST_OBJECTS = 3000
_FRAMES = 256
_BODY_BYTES = 4 << 20
_AT_ONCE = 2
"""Chunks on their way at the same time; each holds a few copies of 5 MiB."""
_MANY = 8
_TRIES = 6
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Instruction:
    """A message that waits to be fetched."""

    metadata: Any
    root: Node

    @property
    def run_id(self) -> int:
        """Of the run that it belongs to."""
        return int(self.metadata.run_id)


@dataclass(frozen=True)
class RunSaid:
    """What the coordinator says of a run."""

    fab_hash: str
    task: str


class _Calls(FleetHttpClient):
    """Flower's calls over a connection of ours.

    Flower's own would take proxies and trust from the environment, and show no certificate.
    """

    def __init__(self, url: str, http: httpx.Client, interceptor: Any) -> None:
        self._base_url = url
        self._client = http
        self._interceptors = (interceptor,)
        self._retry_invoker = None


class Fleet:
    """A connection to the coordinator. Use it as a context manager."""

    def __init__(self, url: str, line: Line) -> None:
        self._url = url
        self._line = line
        self._key = line.own.identity.public_key
        self._headers = {FLEET_HTTP_PUBLIC_KEY_HEADER: b64encode(self._key).decode()}
        self._client = _Calls(url, line.http, self)
        self._node = ProtoNode()
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="fleet")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._line.close()

    def intercept(self, context: Any, call_next: Callable[[Any], httpx.Response]) -> httpx.Response:
        """Adds to Flower's calls who asks, and how long it is ready to wait for a message."""
        context.request.headers.update(self._headers)
        if context.rpc_method.endswith("/PullMessages"):
            context.request.headers["fedvox-wait"] = str(WAIT_S)
        return call_next(context)

    def activate(self) -> int:
        """Tells that the site is there; its node's number."""
        asked = fleet.ActivateNodeRequest(public_key=self._key, heartbeat_interval=HEARTBEAT_S)
        self._node = ProtoNode(node_id=_called(self._client.ActivateNode, asked, tries=1).node_id)
        return int(self._node.node_id)

    def deactivate(self) -> None:
        """Tells that the site goes."""
        asked = fleet.DeactivateNodeRequest(node_id=self._node.node_id)
        _called(self._client.DeactivateNode, asked, tries=1)

    def heartbeat(self) -> None:
        """Tells that the site is still there."""
        asked = heartbeat_pb2.SendNodeHeartbeatRequest(
            node=self._node, heartbeat_interval=HEARTBEAT_S
        )
        if not _called(self._client.SendNodeHeartbeat, asked, tries=1).success:
            raise Refused(404, "node")

    def next(self) -> Instruction | None:
        """The next message, or None where none came for a while."""
        asked = fleet.PullMessagesRequest(node=self._node)
        found = _called(self._client.PullMessages, asked, tries=1)
        if not found.messages_list:
            return None
        metadata = message_from_proto(found.messages_list[0]).metadata
        if metadata.dst_node_id != self._node.node_id:
            raise Refused(0, "a message for another node")
        return Instruction(metadata, _as_node(found.message_object_trees[0]))

    def run(self, run_id: int) -> RunSaid:
        """What is said of a run; Refused where it is over."""
        asked = run_pb2.GetRunRequest(node=self._node, run_id=run_id)
        said = _called(self._client.GetRun, asked).run
        return RunSaid(str(said.fab_hash), str(said.primary_task_type))

    def fetch(self, instruction: Instruction, most_bytes: int) -> Message:
        """The whole message; CodecError where it is none that may be read."""
        count(instruction.root, MOST_OBJECTS)
        return unpack(
            instruction.root, lambda names: self._objects(instruction.run_id, names), most_bytes
        )

    def answer(self, content: RecordDict, instruction: Instruction) -> int:
        """Sends a content as the answer to a message; how many bytes went out.

        May be asked for again after a failure: what has arrived is not sent twice.
        """
        made: Any = Message
        asked = made(metadata=instruction.metadata, content=RecordDict())
        reply = made(content, reply_to=asked)
        (parcel,) = pack([reply])
        reply.metadata.__dict__["_message_id"] = parcel.root.name
        bare = made(metadata=reply.metadata, content=RecordDict())
        said = _called(
            self._client.PushMessages,
            fleet.PushMessagesRequest(
                node=self._node,
                messages_list=[message_to_proto(bare)],
                message_object_trees=[_tree(parcel.root)],
                clientapp_runtime_list=[0.0],
            ),
        )
        names = list(said.objects_to_push)
        self._send(parcel, names, str(said.session_id), instruction.run_id)
        return sum(parcel.size(name) for name in names)

    def done_with(self, instruction: Instruction) -> None:
        """The message need not be kept for this site any longer, whether it was answered or not."""
        asked = message_pb2.ConfirmMessageReceivedRequest(
            node=self._node, run_id=instruction.run_id, message_object_id=instruction.root.name
        )
        _called(self._client.ConfirmMessageReceived, asked)

    def _objects(self, run_id: int, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Objects; several at a time where there are many, which are large ones."""
        shares = _AT_ONCE if len(names) > _MANY else 1
        groups = [names[at::shares] for at in range(shares)]
        yield from _merged(self._pool, [self._some(run_id, group) for group in groups])

    def _some(self, run_id: int, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        left = list(names)
        while left:
            asked = [
                message_pb2.PullObjectRequest(
                    node=self._node, run_id=run_id, object_id=name
                ).SerializeToString()
                for name in left[:_FRAMES]
            ]
            answers = self._many("pull-objects", asked)
            if not answers:
                raise CodecError("objects that are not given")
            got, left = left[: len(answers)], left[len(answers) :]
            for name in got:
                yield name, _content(answers.pop(0))

    def _send(self, parcel: Parcel, names: Sequence[str], session: str, run_id: int) -> None:
        groups: list[list[str]] = [[]]
        size = 0
        for name in names:
            if groups[-1] and (
                size + parcel.size(name) > _BODY_BYTES or len(groups[-1]) == _FRAMES
            ):
                groups.append([])
                size = 0
            groups[-1].append(name)
            size += parcel.size(name)

        def push(group: Sequence[str]) -> None:
            frames = [
                message_pb2.PushObjectRequest(
                    node=self._node,
                    run_id=run_id,
                    object_id=name,
                    object_content=parcel.content(name),
                    session_id=session,
                ).SerializeToString()
                for name in group
            ]
            for frame in self._many("push-objects", frames):
                if not message_pb2.PushObjectResponse.FromString(frame).stored:
                    raise Unreachable("the coordinator does not keep what it was sent")

        if names:
            list(self._pool.map(push, groups))

    def _many(self, call: str, frames: Sequence[bytes]) -> list[memoryview]:
        body = framed(frames)
        headers = {**self._headers, "content-type": "application/fedvox-frames"}

        def post(_: None) -> list[memoryview]:
            url = f"{self._url}/v1/fleet/{call}"
            response = self._line.http.post(url, content=body, headers=headers)
            response.raise_for_status()
            return unframed(response.content, len(frames))

        return _called(post, None)


def _content(frame: memoryview) -> bytes:
    said = message_pb2.PullObjectResponse.FromString(frame)
    if not said.object_available:
        raise CodecError("an object that is not there")
    return bytes(said.object_content)


def _called(call: Callable[[Any], Answer], asked: Any, tries: int = _TRIES) -> Answer:
    """The answer; asks again for a while where the connection breaks."""
    for attempt in range(1, tries + 1):
        try:
            return call(asked)
        except httpx.HTTPStatusError as error:
            raise Refused(error.response.status_code, code_of(error.response)) from None
        except (httpx.HTTPError, ValueError) as error:
            if attempt == tries:
                raise Unreachable(f"{type(error).__name__}: {error}") from None
            time.sleep(min(0.1 * 3 ** (attempt - 1), 5.0))
    raise Unreachable("no answer")


def _merged(
    pool: ThreadPoolExecutor, sources: Sequence[Iterator[tuple[str, bytes]]]
) -> Iterator[tuple[str, bytes]]:
    """What several sources give, in turn; each is one step ahead of what is taken, not more."""
    if len(sources) == 1:
        yield from sources[0]
        return
    ahead = [(one, pool.submit(next, one, None)) for one in sources]
    while ahead:
        source, coming = ahead.pop(0)
        found = coming.result()
        if found is not None:
            ahead.append((source, pool.submit(next, source, None)))
            yield found


def _as_node(tree: Any) -> Node:
    return Node(str(tree.object_id), tuple(_as_node(child) for child in tree.children))


def _tree(node: Node) -> Any:
    children = [_tree(child) for child in node.children]
    return message_pb2.ObjectTree(object_id=node.name, children=children)
