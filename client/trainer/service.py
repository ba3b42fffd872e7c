"""The contract's calls on the trainer's side of the socket."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from fedvox.client.contract import trainer_pb2 as wire
from fedvox.client.contract.address import SERVER_OPTIONS, address_of
from fedvox.client.contract.heads import (
    StreamError,
    link_from_wire,
    reply_on_wire,
    request_from_wire,
)
from fedvox.client.contract.stream import announced, parts, read_groups, sizes_of
from fedvox.client.contract.trainer_pb2_grpc import TrainerServicer, add_TrainerServicer_to_server
from fedvox.client.trainer.answers import Answer
from fedvox.client.trainer.office import Office
from fedvox.common.errors import ResourceError
from fedvox.common.messages import Kind
from fedvox.common.unix_paths import reachable

log = logging.getLogger(__name__)

_THREADS = 16
"""More than may wait for their turn: health is always answered."""


class Service(TrainerServicer):
    """Takes requests from the wire to the office, and answers back."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def Describe(self, chunks: Iterator[wire.Chunk], context: Any) -> Iterator[wire.Chunk]:
        """How many patients the site has for a study."""
        return self._serve("describe", chunks, context)

    def Train(self, chunks: Iterator[wire.Chunk], context: Any) -> Iterator[wire.Chunk]:
        """One round of training."""
        return self._serve("train", chunks, context)

    def Evaluate(self, chunks: Iterator[wire.Chunk], context: Any) -> Iterator[wire.Chunk]:
        """How well weights do on the site's own patients."""
        return self._serve("evaluate", chunks, context)

    def Cancel(self, asked: wire.CancelRequest, context: Any) -> wire.CancelReply:
        """Stops what is being done for a study."""
        return wire.CancelReply(stopped=self._office.cancel(asked.study_sha256))

    def Health(self, asked: wire.HealthRequest, context: Any) -> wire.HealthReply:
        """What the trainer is busy with; takes what the link says of itself."""
        if asked.HasField("link"):
            self._office.heard_of_link(link_from_wire(asked.link))
        health = self._office.health()
        return wire.HealthReply(
            site=health.site,
            release=health.release,
            working=health.working,
            study=health.study,
            round=health.round,
            waiting=health.waiting,
            busy_s=health.busy_s,
        )

    def _serve(
        self, kind: Kind, chunks: Iterator[wire.Chunk], context: Any
    ) -> Iterator[wire.Chunk]:
        try:
            answer = self._answer(kind, chunks, context)
            head = reply_on_wire(answer.head, sizes_of(answer.groups))
        except StreamError as error:
            log.error("a request that breaks the contract: %s", error)
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Exception:
            # gRPC would send the exception's text: it may name a path or a patient.
            log.exception("a request could not be answered")
            context.abort(grpc.StatusCode.INTERNAL, "see the trainer's log")
        yield wire.Chunk(reply=head)
        yield from parts(answer.groups)

    def _answer(self, kind: Kind, chunks: Iterator[wire.Chunk], context: Any) -> Answer:
        first = next(chunks, None)
        if first is None or first.WhichOneof("content") != "request":
            raise StreamError("a request without a head")
        head = request_from_wire(first.request)
        if head.kind != kind:
            raise StreamError("a request by the call of another kind")

        def receive(most_bytes: int) -> dict[str, bytes]:
            return read_groups(announced(first.request.groups, most_bytes), chunks)

        return self._office.answer(head, receive, context.is_active)


def serve(office: Office, socket: Path) -> grpc.Server:
    """A started server on a socket; whoever reaches that may ask."""
    server = grpc.server(
        ThreadPoolExecutor(_THREADS, "call"),
        options=SERVER_OPTIONS,
        maximum_concurrent_rpcs=_THREADS,
    )
    add_TrainerServicer_to_server(Service(office), server)
    socket.unlink(missing_ok=True)  # of a trainer that was killed
    with reachable(socket) as name:
        bound = server.add_insecure_port(address_of(name))
    if not bound:
        raise ResourceError(f"{socket}: cannot be listened on; look at the folder's permissions")
    server.start()
    return server
