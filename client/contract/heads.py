"""What goes before the tensors: the heads of requests and replies, and the trainer's health."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fedvox.client.contract import trainer_pb2 as wire
from fedvox.common.errors import Refusal
from fedvox.common.messages import Figures, Kind, Scalar

MOST_STUDY_BYTES = 1 << 20
MOST_TEXT = 1024
_SHA256_OR_NONE = re.compile(r"([0-9a-f]{64})?")
_MOST_SETTINGS = 64
_MOST_TIME = 40

_KINDS: dict[Kind, wire.Kind] = {
    "describe": wire.KIND_DESCRIBE,
    "train": wire.KIND_TRAIN,
    "evaluate": wire.KIND_EVALUATE,
}
_NAMES: dict[int, Kind] = {number: kind for kind, number in _KINDS.items()}


class StreamError(Exception):
    """What came over the socket is not of the contract; the text names no content."""


class TooLarge(StreamError):
    """More bytes were announced than are taken."""


@dataclass(frozen=True)
class RequestHead:
    """A request without its tensors."""

    kind: Kind
    study: str
    """The study file as TOML."""
    round: int = 0
    weights_sha256: str = ""
    settings: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class ReplyHead:
    """A reply without its tensors."""

    site: str
    round: int = 0
    weights_sha256: str = ""
    examples: int = 0
    figures: Figures = field(default_factory=dict)
    facts: Mapping[str, Scalar] = field(default_factory=dict)
    refusal: Refusal | None = None


@dataclass(frozen=True)
class Health:
    """What a trainer is busy with."""

    site: str
    release: str
    working: bool
    study: str = ""
    round: int = 0
    waiting: int = 0
    busy_s: float = 0.0


@dataclass(frozen=True)
class LinkSaid:
    """How it stands with the link, for the people at the site."""

    connected: bool
    problem: str = ""
    """Why it is not."""
    certificate_until: str = ""


def request_on_wire(head: RequestHead, sizes: Mapping[str, int]) -> wire.RequestHead:
    """The message that announces groups of these sizes; StreamError where it cannot be one."""
    try:
        return wire.RequestHead(
            kind=_KINDS[head.kind],
            study=head.study,
            round=head.round,
            weights_sha256=head.weights_sha256,
            settings=_scalars_on_wire(head.settings),
            groups=_groups_on_wire(sizes),
        )
    except (KeyError, TypeError, ValueError, UnicodeError) as error:
        raise StreamError(f"not a request of this contract: {type(error).__name__}") from None


def request_from_wire(message: wire.RequestHead) -> RequestHead:
    """The head in a message; StreamError for one that breaks the contract."""
    kind = _NAMES.get(message.kind)
    if kind is None:
        raise StreamError("a kind of request that this release does not know")
    if len(message.study) > MOST_STUDY_BYTES:
        raise StreamError("a study file of more than 1 MiB")
    if not _SHA256_OR_NONE.fullmatch(message.weights_sha256):
        raise StreamError("no sha256 of the weights")
    settings = _scalars_from_wire(message.settings)
    return RequestHead(kind, message.study, message.round, message.weights_sha256, settings)


def reply_on_wire(head: ReplyHead, sizes: Mapping[str, int]) -> wire.ReplyHead:
    """The message that announces groups of these sizes."""
    return wire.ReplyHead(
        site=head.site,
        round=head.round,
        weights_sha256=head.weights_sha256,
        examples=head.examples,
        figures=dict(head.figures),
        facts=_scalars_on_wire(head.facts),
        refusal=head.refusal.value if head.refusal is not None else "",
        groups=_groups_on_wire(sizes),
    )


def reply_from_wire(message: wire.ReplyHead) -> ReplyHead:
    """The head in a message; StreamError for one that breaks the contract."""
    try:
        refusal = Refusal(message.refusal) if message.refusal else None
    except ValueError:
        raise StreamError("a refusal that this release does not know") from None
    return ReplyHead(
        site=message.site,
        round=message.round,
        weights_sha256=message.weights_sha256,
        examples=message.examples,
        figures=dict(message.figures),
        facts=_scalars_from_wire(message.facts),
        refusal=refusal,
    )


def link_on_wire(said: LinkSaid) -> wire.LinkState:
    """The message in which the link says how it stands."""
    return wire.LinkState(
        connected=said.connected,
        problem=said.problem[:MOST_TEXT],
        certificate_until=said.certificate_until,
    )


def link_from_wire(message: wire.LinkState) -> LinkSaid:
    """What the link says, cut to what is shown."""
    return LinkSaid(
        message.connected, message.problem[:MOST_TEXT], message.certificate_until[:_MOST_TIME]
    )


def _groups_on_wire(sizes: Mapping[str, int]) -> list[wire.Group]:
    return [wire.Group(name=name, bytes=size) for name, size in sizes.items()]


def _scalars_on_wire(scalars: Mapping[str, Scalar]) -> dict[str, wire.Scalar]:
    return {name: _scalar(value) for name, value in scalars.items()}


def _scalar(value: Scalar) -> wire.Scalar:
    if isinstance(value, bool):  # before int, which it is as well
        return wire.Scalar(truth=value)
    if isinstance(value, int):
        return wire.Scalar(whole=value)
    if isinstance(value, float):
        return wire.Scalar(number=value)
    return wire.Scalar(text=value)


def _scalars_from_wire(scalars: Mapping[str, wire.Scalar]) -> dict[str, Scalar]:
    if len(scalars) > _MOST_SETTINGS:
        raise StreamError(f"more than {_MOST_SETTINGS} settings or facts")
    found: dict[str, Scalar] = {}
    for name, scalar in scalars.items():
        which = scalar.WhichOneof("value")
        if which is None or len(name) > MOST_TEXT or len(scalar.text) > MOST_TEXT:
            raise StreamError("a setting or fact without a value, or longer than it may be")
        value: Scalar = getattr(scalar, which)
        found[name] = value
    return found
