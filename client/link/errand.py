"""One message from the coordinator: checked, worked on by the trainer, answered, recorded."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from flwr.app import Message, RecordDict

from fedvox.client.contract.heads import ReplyHead, RequestHead
from fedvox.client.contract.stub import TrainerStub, TrainerUnavailable
from fedvox.client.link.fleet import Instruction, RunSaid
from fedvox.client.link.pace import Pace
from fedvox.client.link.recording import Notary, study_named
from fedvox.client.link.translate import content_of, request_of
from fedvox.common import __version__
from fedvox.common.codec import CodecError
from fedvox.common.errors import FedvoxError, Refusal, SiteError
from fedvox.common.fab import TASK, fab_hash
from fedvox.common.identity.keys import PublicKey

log = logging.getLogger(__name__)
_OWN_SETTINGS = ("closed", "fedvox")
"""Settings that are meant for the link; the trainer does not get them."""


class NoLonger(FedvoxError):
    """Nobody waits for the answer to a message any more."""


class _HandedOver(dict[str, bytes]):
    """Groups that are let go of as they are sent: an answer is as large again."""

    def values(self) -> Any:
        """Each group, once."""
        while self:
            yield self.pop(next(iter(self)))


@dataclass(frozen=True)
class Bounds:
    """How much and how long."""

    most_bytes: int = 2 << 30
    """Of a group of tensors that is fetched."""
    trainer_s: float = 900.0
    """How long a trainer that is not there is waited for, before the site says so."""
    deadline_s: float = 7 * 86400.0
    """How long the trainer may work on one request."""


@dataclass(frozen=True)
class Working:
    """What the trainer is asked for now."""

    run_id: int
    study_sha256: str


class Errands:
    """Does what the coordinator's messages ask for, one at a time."""

    def __init__(
        self, site: str, trainer: TrainerStub, notary: Notary, stop: threading.Event, bounds: Bounds
    ) -> None:
        self._site = site
        self._trainer = trainer
        self._notary = notary
        self._stop = stop
        self._bounds = bounds
        self._over = threading.Event()
        self.working: Working | None = None

    @property
    def most_bytes(self) -> int:
        """Of a group of tensors that may be fetched."""
        return self._bounds.most_bytes

    def answer(
        self,
        run: RunSaid,
        instruction: Instruction,
        fetch: Callable[[], Message],
        coordinator: PublicKey | None,
    ) -> RecordDict:
        """The content of the answer to a message; NoLonger where nobody waits for one."""
        request: RequestHead | None = None
        try:
            self._check_run(run)
            request, groups = request_of(fetch())
            self._check_version(request)
            if closed := request.settings.get("closed"):
                self._notary.closed(str(closed), coordinator)
            self._begin(request, instruction)
            head, sent = self._asked(request, groups, fetch)
        except CodecError as error:
            self._notary.refused("unreadable", detail=str(error))
            head, sent = self._refusal(request, Refusal.WEIGHTS), {}
        except SiteError as error:
            head, sent = self._refusal(request, error.refusal), {}
        finally:
            self.working = None
        facts = self._notary.sent(request, head, sent) if request is not None else {}
        return content_of(replace(head, facts={**head.facts, **facts}), sent)

    def cancel(self) -> None:
        """Stops what is being done: nobody waits for it any more."""
        working = self.working
        if working is not None:
            self._over.set()
            with suppress(TrainerUnavailable):
                self._trainer.cancel(working.study_sha256)

    def _begin(self, request: RequestHead, instruction: Instruction) -> None:
        self._over.clear()
        _, study_sha256 = study_named(request.study)
        self.working = Working(instruction.run_id, study_sha256)

    def _check_run(self, run: RunSaid) -> None:
        """Only the app without code is known here; nothing that a run brings is ever looked at."""
        if run.task != TASK:
            self._notary.refused("another kind of task", task=run.task[:64])
            raise SiteError(Refusal.STUDY)
        if run.fab_hash != fab_hash():
            self._notary.refused("a run with code of its own", fab=run.fab_hash[:64])
            raise SiteError(Refusal.STUDY)

    def _check_version(self, request: RequestHead) -> None:
        theirs = str(request.settings.get("fedvox", __version__))[:32]
        if theirs != __version__:
            log.error(
                "the coordinator runs fedvox %s and this site %s: install fedvox %s here (or ask "
                "for a coordinator of %s)", theirs, __version__, theirs, __version__,
            )  # fmt: skip
            self._notary.refused("another release", theirs=theirs, ours=__version__)
            raise SiteError(Refusal.VERSION)

    def _asked(
        self, request: RequestHead, groups: dict[str, bytes], fetch: Callable[[], Message]
    ) -> tuple[ReplyHead, dict[str, bytes]]:
        """The trainer's answer; a trainer that is not there is waited for."""
        pace, until = Pace(0.1, 5.0), time.monotonic() + self._bounds.trainer_s
        while True:
            try:
                handed = _HandedOver(groups)
                groups.clear()
                head, sent = self._trainer.ask(
                    _for_trainer(request), handed, self._bounds.deadline_s
                )
                return replace(head, site=self._site), sent
            except TrainerUnavailable:
                self._await_trainer(pace, until)
            _, groups = request_of(fetch())

    def _await_trainer(self, pace: Pace, until: float) -> None:
        """Returns when the trainer is there; a refusal after too long."""
        while True:
            if self._stop.wait(pace.next_s()) or self._over.is_set():
                raise NoLonger("nobody waits for the answer")
            try:
                self._trainer.health()
                return
            except TrainerUnavailable as error:
                if time.monotonic() > until:
                    log.error("%s", error)
                    raise SiteError(Refusal.INTERNAL) from None

    def _refusal(self, request: RequestHead | None, refusal: Refusal) -> ReplyHead:
        facts = {"fedvox": __version__} if refusal is Refusal.VERSION else {}
        if request is None:
            return ReplyHead(self._site, refusal=refusal, facts=facts)
        return ReplyHead(
            self._site, request.round, request.weights_sha256, facts=facts, refusal=refusal
        )


def _for_trainer(request: RequestHead) -> RequestHead:
    kept = {k: v for k, v in request.settings.items() if k not in _OWN_SETTINGS}
    return replace(request, settings=kept)
