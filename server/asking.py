"""Asking sites and collecting their answers over a Grid, whatever order they come in."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from flwr.app import Message
from flwr.serverapp import Grid

from fedvox.common.codec import CodecError
from fedvox.common.errors import Refusal
from fedvox.common.messages import Reply, Request
from fedvox.common.study.sections import ParticipationSection
from fedvox.common.wire import MESSAGE_TYPES, read_reply, request_content
from fedvox.server.admit import Rejected
from fedvox.server.presence import Presence, Seat

POLL_S = 0.05
"""Pause between two looks at a grid that had nothing new."""
_AGAIN_S = 5.0
"""A site that cannot work yet is asked again after so long."""
_TELL_S = 10.0
"""After so long, and then each time again, somebody is told who is waited for."""
NOT_YET = frozenset({Refusal.WAITING, Refusal.PAUSED, Refusal.HOURS, Refusal.BUSY})
"""A site that says so will work later: it is asked until it does."""


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


@dataclass(frozen=True)
class Ear:
    """Who hears of the answers, and of sites that there is nothing to hear from."""

    accept: Callable[[str, Reply], None]
    """Takes a good answer, or raises Rejected; that site is then treated as one that refused:
    asked again while there are retries, and recorded."""
    refused: Callable[[str, str], None] = lambda site, code: None
    awaited: Callable[[dict[str, str]], None] = lambda sites: None
    """Told now and then of the sites that are waited for, and of the reason where there is one."""


def ask(
    grid: Grid,
    presence: Presence,
    sites: Collection[str],
    request: Request,
    patience: Patience,
    ear: Ear,
) -> Answers:
    """Sends the request to the sites and hands each good answer on as it comes.

    A site that is not there is asked when it comes; one that has started anew is asked again.
    """
    return _Asking(grid, presence, sites, request, patience, ear).until_closed()


class _Asking:
    """One request on its way to several sites."""

    def __init__(
        self,
        grid: Grid,
        presence: Presence,
        sites: Collection[str],
        request: Request,
        patience: Patience,
        ear: Ear,
    ) -> None:
        self._grid = grid
        self._presence = presence
        self._request = request
        self._patience = patience
        self._ear = ear
        self._begun = time.monotonic()
        self._told = self._begun
        self._due = dict.fromkeys(sites, 0.0)
        """Sites to be asked, and from when on."""
        self._pending: dict[str, tuple[str, Seat]] = {}
        """Message id -> who has it, and where it was sent."""
        self._tries = dict.fromkeys(sites, 0)
        self._answers = Answers()

    def until_closed(self) -> Answers:
        while self._due or self._pending:
            seats = self._presence.seats()
            for identity, (site, seat) in list(self._pending.items()):
                if site in seats and seats[site] != seat:
                    del self._pending[identity]
                    self._due[site] = 0.0
            self._send({site: seats[site] for site in self._ready() if site in seats})
            arrived = False
            messages = list(self._pulled())
            while messages:  # none is held when the next one comes
                arrived |= self._take(messages.pop(0))
            if self._closed():
                break
            if not arrived:
                self._tell()
                time.sleep(POLL_S if self._due or self._pending else 0)
        self._answers.late = sorted(self._open())
        self._answers.answered.sort()
        return self._answers

    def _ready(self) -> list[str]:
        now = time.monotonic()
        return [site for site, due in self._due.items() if due <= now]

    def _open(self) -> set[str]:
        return {*self._due, *(site for site, _ in self._pending.values())}

    def _pulled(self) -> Iterable[Message]:
        return self._grid.pull_messages(list(self._pending)) if self._pending else ()

    def _send(self, seats: dict[str, Seat]) -> None:
        if not seats:
            return
        content = request_content(self._request)
        kind, group = MESSAGE_TYPES[self._request.kind], str(self._request.round)
        messages = [
            Message(content, dst_node_id=seat.node, message_type=kind, group_id=group)
            for seat in seats.values()
        ]
        sent = self._grid.push_messages(messages)
        for identity, (site, seat) in zip(sent, seats.items(), strict=True):
            if identity:  # else the grid would not take it: it is tried again
                del self._due[site]
                self._pending[identity] = (site, seat)

    def _take(self, message: Message) -> bool:
        site, _ = self._pending.pop(message.metadata.reply_to_message_id, ("", None))
        if not site:
            return False
        code = self._code_of(message, site)
        if code is None:
            self._answers.answered.append(site)
            self._answers.refused.pop(site, None)
            return True
        self._answers.refused[site] = code
        if code in NOT_YET:
            self._due[site] = time.monotonic() + _AGAIN_S
            return True
        self._tries[site] += 1
        if self._tries[site] <= self._patience.retries:
            self._due[site] = 0.0
        else:
            self._ear.refused(site, code)
        return True

    def _code_of(self, message: Message, site: str) -> str | None:
        """None when the answer was accepted, else the code under which it is recorded."""
        try:
            reply = read_reply(message)
            if reply.refusal is not None:
                return str(reply.refusal)
            self._ear.accept(site, reply)
        except CodecError:
            return "unreadable"
        except Rejected as error:
            return str(error.code)
        return None

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told >= _TELL_S:
            self._told = now
            refused = self._answers.refused
            self._ear.awaited({site: refused.get(site, "") for site in sorted(self._open())})

    def _closed(self) -> bool:
        deadline_s = self._patience.deadline_s
        if not deadline_s or time.monotonic() - self._begun < deadline_s:
            return False
        return len(self._answers.answered) >= self._patience.need
