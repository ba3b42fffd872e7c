"""Between Flower's messages and the trainer's contract: heads are read, tensors stay bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast, get_args

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from fedvox.client.contract.heads import ReplyHead, RequestHead
from fedvox.common.codec import CodecError
from fedvox.common.messages import Kind, Scalar
from fedvox.common.wire import STYPE

_PREFIX = "arrays."


def request_of(message: Message) -> tuple[RequestHead, dict[str, bytes]]:
    """The request in a message: its head, and its groups of tensors as bytes."""
    content = message.content
    try:
        head = content.config_records["request"]
        kind = str(head["kind"])
        if kind not in get_args(Kind):
            raise CodecError("a kind of request that this release does not know")
        request = RequestHead(
            kind=cast(Kind, kind),
            study=str(head["study"]),
            round=_round(head["round"]),
            weights_sha256=str(head["weights_sha256"]),
            settings=_scalars(content.config_records["settings"]),
        )
        groups = {
            name.removeprefix(_PREFIX): _bytes(record["payload"])
            for name, record in content.array_records.items()
            if name.startswith(_PREFIX)
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CodecError(f"not a request of this release: {type(error).__name__}") from None
    return request, groups


def content_of(head: ReplyHead, groups: Mapping[str, bytes]) -> RecordDict:
    """The content of a message that carries a reply."""
    said = ConfigRecord(
        {
            "site": head.site,
            "round": head.round,
            "weights_sha256": head.weights_sha256,
            "examples": head.examples,
            "refusal": head.refusal.value if head.refusal is not None else "",
        }
    )
    content = RecordDict(
        {
            "reply": said,
            "figures": MetricRecord({name: float(value) for name, value in head.figures.items()}),
            "facts": ConfigRecord(dict(head.facts)),
        }
    )
    for name, data in groups.items():
        record = ArrayRecord()
        record["payload"] = Array(dtype="uint8", shape=(len(data),), stype=STYPE, data=data)
        content[f"{_PREFIX}{name}"] = record
    return content


def _bytes(array: Array) -> bytes:
    if array.stype != STYPE:
        raise CodecError("tensors in another format than this release's")
    return array.data


def _round(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 32:
        raise TypeError("no number of a round")
    return value


def _scalars(record: Mapping[str, Any]) -> dict[str, Scalar]:
    return {name: value for name, value in record.items() if isinstance(value, float | int | str)}
