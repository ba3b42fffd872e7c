"""A request on its way through the trainer: permitted, looked up, done, kept, answered."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from fedvox.client.contract.heads import (
    Health,
    LinkSaid,
    ReplyHead,
    RequestHead,
    StreamError,
    TooLarge,
)
from fedvox.client.policy.approvals import Approvals, stopped
from fedvox.client.policy.link_state import write_link
from fedvox.client.policy.progress import (
    Now,
    note_answer,
    timestamp,
    write_now,
)
from fedvox.client.policy.recording import Recorder
from fedvox.client.policy.rules import Policy
from fedvox.client.site import read_study
from fedvox.client.trainer.answers import Answer, Answers, Asked
from fedvox.client.trainer.bench import Bench, Cancelled, StoppableStore
from fedvox.client.trainer.data import Holdings
from fedvox.client.trainer.permission import Permission, most_group_bytes
from fedvox.client.trainer.site_of import figures_allowed, site_of
from fedvox.client.trainer.turn import Job, Turn
from fedvox.common import __version__
from fedvox.common.codec import CodecError, decode, encode
from fedvox.common.errors import FedvoxError, Refusal, ResourceError, SiteError
from fedvox.common.messages import Reply, Request
from fedvox.common.study import Study, study_hash

log = logging.getLogger(__name__)

Receive = Callable[[int], Mapping[str, bytes]]
"""Most bytes of a group -> the groups that follow the head; StreamError where they are not so."""
_MOST_WAITING = 8


class Office:
    """Answers requests for one site. For any number of threads."""

    def __init__(self, site: str, home: Path, holdings: Holdings, recorder: Recorder) -> None:
        self._site = site
        self._home = home
        self._holdings = holdings
        self._permission = Permission(home, Approvals(home, recorder))
        self._answers = Answers(home / "outbox")
        self._bench = Bench()
        self._notes = threading.Lock()
        self._turn = Turn(_MOST_WAITING, self._tell)
        self._started = timestamp()

    def open(self) -> None:
        """Makes everything warm; nothing is answered before."""
        self._bench.warm()
        self._tell()

    def answer(self, head: RequestHead, receive: Receive, wanted: Callable[[], bool]) -> Answer:
        """What the site says to a request; StreamError where its bytes are not of the contract."""
        study: Study | None = None
        try:
            study = read_study(head.study)
            answer = self._answer(head, study, receive, wanted)
        except StreamError as error:
            if not isinstance(error, TooLarge):
                raise
            answer = self._refused(head, Refusal.RESOURCES, str(error))
        except SiteError as error:
            answer = self._refused(head, error.refusal, error.detail)
        except (ResourceError, MemoryError) as error:
            answer = self._refused(head, Refusal.RESOURCES, str(error))
        except Cancelled:
            answer = self._refused(head, Refusal.STOPPED, "cancelled")
        except (FedvoxError, Exception):
            # Whatever went wrong, its text stays here: it may name a path or a patient.
            log.exception("round %d failed", head.round)
            answer = self._refused(head, Refusal.INTERNAL, "see above")
        if study is not None:
            log.info("%s of round %d: %d bytes may leave", head.kind, head.round, answer.size)
            self._note(head, study, answer)
        return answer

    def cancel(self, study_sha256: str) -> bool:
        """Ends what is being done for a study; whether there was something."""
        return self._turn.cancel(study_sha256)

    def heard_of_link(self, said: LinkSaid) -> None:
        """Keeps what the link says of itself, for the people at the site."""
        with self._notes:
            try:
                write_link(self._home, said)
            except ResourceError as error:
                log.warning("%s", error)

    def health(self) -> Health:
        """What is going on."""
        job, turn = self._turn.job, self._turn
        return Health(
            self._site,
            __version__,
            working=job is not None,
            study=job.study if job else "",
            round=job.round if job else 0,
            waiting=turn.waiting,
            busy_s=turn.busy_s,
        )

    def _answer(
        self, head: RequestHead, study: Study, receive: Receive, wanted: Callable[[], bool]
    ) -> Answer:
        policy = self._permission.require(study)
        figures_allowed(policy, study, head.kind)
        patients = self._holdings.roster(study).patients.get("train", 0)
        self._permission.require_patients(study, policy, patients)
        digest = study_hash(study)
        split = str(head.settings.get("split", "test")) if head.kind == "evaluate" else ""
        asked = Asked(digest, head.round, head.weights_sha256, head.kind, split)
        if kept := self._kept(asked):
            return kept
        if head.kind == "describe":
            site = site_of(self._site, self._home, self._holdings, study, policy)
            return _packed(site.answer(_request(head, {}), None))
        job = Job(study.study.name, digest, head.kind, head.round)
        with self._turn.taken(job, wanted):
            policy = self._permission.require(study)  # somebody may have decided meanwhile
            if kept := self._kept(asked):  # or it was asked for twice
                return kept
            answer = self._work(head, study, policy, receive(most_group_bytes(policy)))
            if answer.head.refusal is None:
                self._answers.put(asked, answer)
            return answer

    def _work(
        self, head: RequestHead, study: Study, policy: Policy, groups: Mapping[str, bytes]
    ) -> Answer:
        try:
            request = _request(head, groups)
        except CodecError as error:
            raise SiteError(Refusal.WEIGHTS, str(error)) from None
        log.info("%s of round %d for %s begun", head.kind, head.round, study.study.name)
        is_stopped = stopped(self._home, study_hash(study))

        def go_on() -> None:
            self._turn.go_on()
            if is_stopped():
                raise Cancelled

        site = site_of(
            self._site,
            self._home,
            self._holdings,
            study,
            policy,
            lambda store: StoppableStore(store, go_on),
        )
        reply = self._bench.do(
            study, policy.resources.gpu_share, lambda learner: site.answer(request, learner)
        )
        if policy.privacy.figures == "never":
            reply = replace(reply, figures={k: v for k, v in reply.figures.items() if k == "lr"})
        return _packed(reply)

    def _kept(self, asked: Asked) -> Answer | None:
        if asked.kind == "describe":
            return None
        kept = self._answers.get(asked)
        if kept is None and self._answers.is_over(asked):
            raise SiteError(Refusal.OLD, f"round {asked.round} is over")
        return kept

    def _refused(self, head: RequestHead, refusal: Refusal, detail: str) -> Answer:
        log.error("%s of round %d refused (%s): %s", head.kind, head.round, refusal, detail)
        reply = ReplyHead(self._site, head.round, head.weights_sha256, refusal=refusal)
        return Answer(reply, {})

    def _note(self, head: RequestHead, study: Study, answer: Answer) -> None:
        refusal, digest = str(answer.head.refusal or ""), study_hash(study)
        with self._notes:
            try:
                note_answer(self._home, digest, head.kind, head.round, answer.size, refusal)
            except ResourceError as error:  # a count is no reason to keep an answer back
                log.warning("%s", error)

    def _tell(self) -> None:
        with self._notes:
            try:
                write_now(self._home, self._now())
            except ResourceError as error:
                log.warning("%s", error)

    def _now(self) -> Now:
        job, waiting = self._turn.job, self._turn.waiting
        now = Now(os.getpid(), self._started, self._site, self._holdings.dataset, waiting=waiting)
        if job is None:
            return now
        return replace(
            now,
            study=job.study,
            study_sha256=job.study_sha256,
            kind=job.kind,
            round=job.round,
            since=timestamp(),
        )


def _request(head: RequestHead, groups: Mapping[str, bytes]) -> Request:
    arrays = {name: decode(data) for name, data in groups.items()}
    return Request(head.kind, head.study, head.round, head.weights_sha256, head.settings, arrays)


def _packed(reply: Reply) -> Answer:
    head = ReplyHead(
        reply.site,
        reply.round,
        reply.weights_sha256,
        reply.examples,
        dict(reply.figures),
        dict(reply.facts),
        reply.refusal,
    )
    return Answer(head, {name: encode(arrays) for name, arrays in reply.arrays.items()})
