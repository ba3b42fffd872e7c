"""Requests and replies <-> Flower messages.

Groups of tensors travel as one opaque array each, in the format of `codec`. The bytes are only made
when a transport asks for them: between threads of one process nothing is serialised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast, get_args

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from fedvox.common.arrays import Arrays
from fedvox.common.codec import CodecError, decode, encode, viewed
from fedvox.common.errors import Refusal
from fedvox.common.messages import Kind, Reply, Request, Scalar

STYPE = "fedvox.safetensors"
MESSAGE_TYPES: dict[Kind, str] = {"describe": "query", "train": "train", "evaluate": "evaluate"}


class Payload(Array):
    """A group of tensors that becomes bytes when somebody reads `data`."""

    def __init__(self, arrays: Arrays) -> None:
        self.__dict__.update(dtype="uint8", stype=STYPE, arrays=arrays, encoded=None)

    @property
    def data(self) -> bytes:  # type: ignore[override]  # made when read, never set
        """The tensors as safetensors, encoded once."""
        if self.__dict__["encoded"] is None:
            self.__dict__["encoded"] = encode(self.__dict__["arrays"])
        return bytes(self.__dict__["encoded"])

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]  # as above
        """Number of bytes."""
        return (len(self.data),)

    def plain(self) -> Array:
        """The same as an ordinary Flower array."""
        return Array(dtype="uint8", shape=self.shape, stype=STYPE, data=self.data)

    def deflate(self) -> bytes:
        """As an ordinary array: the other end knows no Payload."""
        return bytes(self.plain().deflate())

    def __reduce__(self) -> Any:
        return (Array, ("uint8", self.shape, STYPE, self.data))


def request_content(request: Request) -> RecordDict:
    """The content of a message that asks for this; one content serves any number of nodes."""
    head = ConfigRecord(
        {
            "kind": request.kind,
            "study": request.study,
            "round": request.round,
            "weights_sha256": request.weights_sha256,
        }
    )
    content = RecordDict({"request": head, "settings": ConfigRecord(dict(request.settings))})
    for group, arrays in request.arrays.items():
        content[f"arrays.{group}"] = _record(arrays)
    return content


def read_request(message: Message) -> Request:
    """The request in a message; CodecError when it holds none."""
    content = message.content
    try:
        head = content.config_records["request"]
        kind = str(head["kind"])
        if kind not in get_args(Kind):
            raise CodecError("a kind of request that this release does not know")
        return Request(
            kind=cast(Kind, kind),
            study=str(head["study"]),
            round=_whole(head["round"]),
            weights_sha256=str(head["weights_sha256"]),
            settings=_scalars(content.config_records["settings"]),
            arrays=_groups(content, decode),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CodecError(f"not a request of this release: {type(error).__name__}") from None


def reply_message(reply: Reply, to: Message) -> Message:
    """A message that answers `to` with this."""
    head = ConfigRecord(
        {
            "site": reply.site,
            "round": reply.round,
            "weights_sha256": reply.weights_sha256,
            "examples": reply.examples,
            "refusal": reply.refusal or "",
        }
    )
    content = RecordDict(
        {
            "reply": head,
            "figures": MetricRecord({k: float(v) for k, v in reply.figures.items()}),
            "facts": ConfigRecord(dict(reply.facts)),
        }
    )
    for group, arrays in reply.arrays.items():
        content[f"arrays.{group}"] = _record(arrays)
    return Message(content, reply_to=to)


def read_reply(message: Message) -> Reply:
    """The reply in a message; CodecError when it holds none."""
    if message.has_error():
        raise CodecError("the site's software failed before it could answer")
    content = message.content
    try:
        head = content.config_records["reply"]
        return Reply(
            site=str(head["site"]),
            round=_whole(head["round"]),
            weights_sha256=str(head["weights_sha256"]),
            examples=_whole(head["examples"]),
            arrays=_groups(content, viewed),
            figures=_figures(content.metric_records["figures"]),
            facts=_scalars(content.config_records["facts"]),
            refusal=Refusal(str(head["refusal"])) if head["refusal"] else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CodecError(f"not a reply of this release: {type(error).__name__}") from None


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("not a whole number")
    return value


def _scalars(record: ConfigRecord) -> dict[str, Scalar]:
    return {k: v for k, v in record.items() if isinstance(v, float | int | str)}


def _figures(record: MetricRecord) -> dict[str, float]:
    return {k: float(v) for k, v in record.items() if isinstance(v, float | int)}


def _record(arrays: Arrays) -> ArrayRecord:
    record = ArrayRecord()
    record["payload"] = Payload(arrays)  # given to the constructor, it would be copied and encoded
    return record


def _groups(content: RecordDict, read: Callable[[bytes], Arrays]) -> dict[str, Arrays]:
    """The groups of tensors; a coordinator, which only looks at them, reads without copying."""
    prefix = "arrays."
    return {
        name.removeprefix(prefix): _arrays(record["payload"], read)
        for name, record in content.array_records.items()
        if name.startswith(prefix)
    }


def _arrays(array: Array, read: Callable[[bytes], Arrays]) -> Arrays:
    if isinstance(array, Payload):
        live: Arrays = array.__dict__["arrays"]
        return live
    if array.stype != STYPE:
        raise CodecError("tensors in another format than this release's")
    return read(array.data)
