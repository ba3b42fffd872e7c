"""The link's end of the socket: asks the trainer. Knows neither tensors nor torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from fedvox.client.contract import trainer_pb2 as wire
from fedvox.client.contract.address import CHANNEL_OPTIONS, address_of
from fedvox.client.contract.heads import (
    Health,
    LinkSaid,
    ReplyHead,
    RequestHead,
    StreamError,
    link_on_wire,
    reply_from_wire,
    request_on_wire,
)
from fedvox.client.contract.stream import (
    MOST_GROUP_BYTES,
    Bytes,
    announced,
    parts,
    read_groups,
    sizes_of,
)
from fedvox.client.contract.trainer_pb2_grpc import TrainerStub as _Calls
from fedvox.common.errors import FedvoxError, Refusal, SiteError
from fedvox.common.unix_paths import reachable

__all__ = ["Health", "ReplyHead", "RequestHead", "TrainerStub", "TrainerUnavailable"]

_SHORT_S = 5.0
_REFUSED = {
    grpc.StatusCode.INVALID_ARGUMENT: Refusal.WEIGHTS,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Refusal.RESOURCES,
}
"""What the trainer says of a request that is none: asking again would not help."""


class TrainerUnavailable(FedvoxError):
    """The trainer is not there, or did not answer in time; asking again is safe."""


class TrainerStub:
    """A connection to the trainer, made when it is first used. For any number of threads."""

    def __init__(self, socket: Path, max_group_bytes: int = MOST_GROUP_BYTES) -> None:
        self._reached = ExitStack()  # for as long as the channel may connect anew
        name = self._reached.enter_context(reachable(socket))
        self._channel = grpc.insecure_channel(address_of(name), options=CHANNEL_OPTIONS)
        self._calls = _Calls(self._channel)
        self._max_group_bytes = max_group_bytes

    def ask(
        self, head: RequestHead, groups: Mapping[str, Bytes], deadline_s: float
    ) -> tuple[ReplyHead, dict[str, bytes]]:
        """The trainer's answer, within so many seconds in all.

        TrainerUnavailable where there is none; SiteError for a request the trainer cannot read.
        """
        calls = {
            "describe": self._calls.Describe,
            "train": self._calls.Train,
            "evaluate": self._calls.Evaluate,
        }
        try:
            first = wire.Chunk(request=request_on_wire(head, sizes_of(groups)))
            call = calls[head.kind](_sent(first, groups), timeout=deadline_s)
            return self._received(call)
        except StreamError as error:
            raise SiteError(Refusal.INTERNAL, f"between link and trainer: {error}") from None
        except grpc.RpcError as error:
            raise _meant(error) from None

    def cancel(self, study_sha256: str) -> bool:
        """Stops what is being done for a study; whether there was something."""
        try:
            asked = wire.CancelRequest(study_sha256=study_sha256)
            return bool(self._calls.Cancel(asked, timeout=_SHORT_S).stopped)
        except grpc.RpcError as error:
            raise _meant(error) from None

    def health(self, deadline_s: float = _SHORT_S, link: LinkSaid | None = None) -> Health:
        """What the trainer is busy with; TrainerUnavailable where it does not say.

        `link` is what the site's people are to be shown of the link.
        """
        asked = wire.HealthRequest(link=link_on_wire(link)) if link else wire.HealthRequest()
        try:
            said = self._calls.Health(asked, timeout=deadline_s)
        except grpc.RpcError as error:
            raise _meant(error) from None
        return Health(
            said.site, said.release, said.working, said.study, said.round, said.waiting, said.busy_s
        )

    def close(self) -> None:
        """Ends the connection, and whatever is being asked over it."""
        self._channel.close()
        self._reached.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _received(self, call: Any) -> tuple[ReplyHead, dict[str, bytes]]:
        try:
            first = next(call, None)
            if first is None or first.WhichOneof("content") != "reply":
                raise StreamError("a reply without a head")
            sizes = announced(first.reply.groups, self._max_group_bytes)
            return reply_from_wire(first.reply), read_groups(sizes, call)
        except BaseException:
            call.cancel()  # else the trainer would go on sending what nobody reads
            raise


def _sent(first: wire.Chunk, groups: Mapping[str, Bytes]) -> Iterator[wire.Chunk]:
    yield first
    yield from parts(groups)


def _meant(error: grpc.RpcError) -> FedvoxError | SiteError:
    code = error.code()
    if code in _REFUSED:
        return SiteError(_REFUSED[code], f"the trainer cannot read the request: {error.details()}")
    return TrainerUnavailable(
        f"the trainer does not answer ({code.name.lower().replace('_', ' ')}); is `fedvox site "
        "start` running? Asking again is safe"
    )
