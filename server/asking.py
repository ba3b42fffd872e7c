"""Asking sites and collecting their answers over a Grid, whatever order they come in."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flwr.app import Message
from flwr.serverapp import Grid

from fedvox.common.codec import CodecError
from fedvox.common.messages import Reply, Request
from fedvox.common.study.sections import ParticipationSection
from fedvox.common.wire import MESSAGE_TYPES, read_reply, request_content
from fedvox.server.admit import Rejected

POLL_S = 0.05
"""Pause between two looks at a grid that had nothing new."""


@dataclass(frozen=True)
class Patience:
    """How long to wait and how often to ask again."""

    need: int
    """Answers without which nothing is closed early."""
    deadline_s: float = 0.0
    """After so long, `need` answers are enough; 0: everybody is waited for."""
    retries: int = 0


def patience_for(participation: ParticipationSection, asked: int) -> Patience:
    """The study's patience for a round in which so many sites are asked."""
    need = max(participation.min_sites, math.ceil(participation.quorum * asked - 1e-9))
    return Patience(need, participation.deadline_s, participation.retries)


@dataclass
class Answers:
    """Who answered, who refused and with which code, who did not answer in time."""

    answered: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)


def ask(
    grid: Grid,
    nodes: Mapping[str, int],
    request: Request,
    patience: Patience,
    accept: Callable[[str, Reply], None],
    refused: Callable[[str, str], None] = lambda site, code: None,
) -> Answers:
    """Sends the request to the nodes (by site) and hands each good answer to `accept` as it comes.

    `accept` raises Rejected for an answer that must not count; that site is then treated as one
    that refused: asked again while there are retries, and recorded.
    """
    answers = Answers()
    tries = dict.fromkeys(nodes, 0)
    pending = _send(grid, nodes, request)
    begun = time.monotonic()
    while pending:
        messages = list(grid.pull_messages(list(pending)))
        again: dict[str, int] = {}
        for message in messages:
            site = pending.pop(message.metadata.reply_to_message_id, None)
            if site is None:
                continue
            code = _take(message, site, accept)
            if code is None:
                answers.answered.append(site)
                answers.refused.pop(site, None)
            else:
                answers.refused[site] = code
                tries[site] += 1
                if tries[site] <= patience.retries:
                    again[site] = nodes[site]
                else:
                    refused(site, code)
        pending |= _send(grid, again, request)
        if _closed(begun, answers, patience):
            break
        if pending and not messages:
            time.sleep(POLL_S)
    answers.late = sorted(pending.values())
    answers.answered.sort()
    return answers


def _send(grid: Grid, nodes: Mapping[str, int], request: Request) -> dict[str, str]:
    """Message id -> site."""
    content = request_content(request)
    kind, group = MESSAGE_TYPES[request.kind], str(request.round)
    messages = [
        Message(content, dst_node_id=node, message_type=kind, group_id=group)
        for node in nodes.values()
    ]
    return dict(zip(grid.push_messages(messages), nodes, strict=True))


def _take(message: Message, site: str, accept: Callable[[str, Reply], None]) -> str | None:
    """None when the answer was accepted, else the code under which it is recorded."""
    try:
        reply = read_reply(message)
        if reply.refusal is not None:
            return str(reply.refusal)
        accept(site, reply)
    except CodecError:
        return "unreadable"
    except Rejected as error:
        return str(error.code)
    return None


def _closed(begun: float, answers: Answers, patience: Patience) -> bool:
    if not patience.deadline_s or time.monotonic() - begun < patience.deadline_s:
        return False
    return len(answers.answered) >= patience.need
