"""A trainer for tests of the link: the contract, and a function for the work.

python toy_trainer.py HOME      as a process of its own
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from fedvox.client.contract import trainer_pb2 as wire
from fedvox.client.contract.address import SERVER_OPTIONS, address_of
from fedvox.client.contract.heads import ReplyHead, RequestHead, reply_on_wire, request_from_wire
from fedvox.client.contract.stream import MOST_GROUP_BYTES, announced, parts, read_groups, sizes_of
from fedvox.client.contract.trainer_pb2_grpc import TrainerServicer, add_TrainerServicer_to_server
from fedvox.common.codec import decode, encode

Work = Callable[[RequestHead, Mapping[str, bytes]], tuple[ReplyHead, dict[str, bytes]]]


def adds_round(
    request: RequestHead, groups: Mapping[str, bytes]
) -> tuple[ReplyHead, dict[str, bytes]]:
    """As if training had added a little more than the round's number to every weight."""
    if request.kind == "describe":
        return ReplyHead("", examples=3, facts={"contract": "c"}), {}
    weights = decode(groups["weights"])
    rng = np.random.default_rng(
        (os.getpid(), request.round)
    )  # equal chunks would be sent once only
    update = {
        name: rng.random(array.shape, np.float32) + request.round for name, array in weights.items()
    }
    head = ReplyHead("", request.round, request.weights_sha256, 3, figures={"loss": 0.5})
    return head, {"update": encode(update)}


@dataclass
class ToyTrainer(TrainerServicer):  # type: ignore[misc]
    """Counts what it was asked for."""

    work: Work = adds_round
    asked: list[RequestHead] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    def Describe(self, chunks: Iterator[Any], context: Any) -> Iterator[Any]:
        return self._answered(chunks)

    def Train(self, chunks: Iterator[Any], context: Any) -> Iterator[Any]:
        return self._answered(chunks)

    def Evaluate(self, chunks: Iterator[Any], context: Any) -> Iterator[Any]:
        return self._answered(chunks)

    def Cancel(self, request: Any, context: Any) -> Any:
        self.cancelled.append(request.study_sha256)
        return wire.CancelReply(stopped=True)

    def Health(self, request: Any, context: Any) -> Any:
        return wire.HealthReply(site="toy")

    def _answered(self, chunks: Iterator[Any]) -> Iterator[Any]:
        first = next(chunks)
        request = request_from_wire(first.request)
        groups = read_groups(announced(first.request.groups, MOST_GROUP_BYTES), chunks)
        self.asked.append(request)
        head, answer = self.work(request, groups)
        del groups
        yield wire.Chunk(reply=reply_on_wire(head, sizes_of(answer)))
        yield from parts(answer)


@contextlib.contextmanager
def serving_trainer(home: Path, toy: ToyTrainer) -> Iterator[ToyTrainer]:
    """Listens on the socket under a site's folder."""
    socket = home / "run" / "trainer.sock"
    socket.parent.mkdir(mode=0o700, exist_ok=True)
    socket.unlink(missing_ok=True)
    server = grpc.server(ThreadPoolExecutor(2), options=SERVER_OPTIONS)
    add_TrainerServicer_to_server(toy, server)
    server.add_insecure_port(address_of(socket))
    server.start()
    try:
        yield toy
    finally:
        server.stop(0).wait(5)
        threading.Event().wait(0.01)


if __name__ == "__main__":
    with serving_trainer(Path(sys.argv[1]), ToyTrainer()):
        print("ready", flush=True)
        sys.stdin.read()
