"""One hospital: answers requests about its own cases, and decides itself what it sends."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING

from fedvox.client.local import LocalWork, weights_to_evaluate
from fedvox.client.state import SiteState
from fedvox.client.store import Store
from fedvox.client.training.batches import Batches, seed_of
from fedvox.client.training.learner import Learner
from fedvox.client.training.schedule import stretch_of_round
from fedvox.common import __version__
from fedvox.common.arrays import Arrays, sha256_of
from fedvox.common.errors import FedvoxError, Refusal, ResourceError, SiteError, StudyError
from fedvox.common.messages import Reply, Request
from fedvox.common.privacy.bucket import bucketed
from fedvox.common.study import Study, contract_hash, parse_study

if TYPE_CHECKING:
    from fedvox.client.guard import Guard

log = logging.getLogger(__name__)


People = tuple[tuple[str, ...], ...]
"""The store keys of each patient's cases."""


@dataclass(frozen=True)
class Roster:
    """Whose cases a site has for what, by split."""

    people: Mapping[str, People]

    @cached_property
    def keys(self) -> Mapping[str, tuple[str, ...]]:
        """The cases of all patients of a split."""
        return {
            split: tuple(key for cases in people for key in cases)
            for split, people in self.people.items()
        }

    @cached_property
    def patients(self) -> Mapping[str, int]:
        """How many patients a split has."""
        return {split: len(people) for split, people in self.people.items()}


@lru_cache(maxsize=8)
def read_study(text: str) -> Study:
    """The study of a request; SiteError when it is not one of this release."""
    try:
        return parse_study(text)
    except StudyError as error:
        raise SiteError(Refusal.STUDY, str(error)) from None


class Site:
    """A hospital's cases, state and answers for one study. One request at a time."""

    def __init__(
        self,
        name: str,
        roster: Roster,
        store: Store,
        state: SiteState,
        contract: str,
        guard: Guard | None = None,
        seed_name: str = "",
    ) -> None:
        """Without a guard the site takes no part in studies that promise privacy.

        `seed_name` is the name that its random streams begin with; empty: its own.
        """
        self.name = name
        self._seed_name = seed_name or name
        self._roster = roster
        self._store = store
        self._state = state
        self._contract = contract
        self._guard = guard

    def answer(self, request: Request, learner: Learner | None) -> Reply:
        """The reply to a request; a refusal where the work cannot or must not be done."""
        try:
            return self._answer(request, learner)
        except SiteError as error:
            log.error("%s refused round %d: %s", self.name, request.round, error.detail or error)
            return self._refusal(request, error.refusal)
        except ResourceError as error:
            log.error("%s refused round %d: %s", self.name, request.round, error)
            return self._refusal(request, Refusal.RESOURCES)
        except MemoryError:
            log.exception("%s ran out of memory in round %d", self.name, request.round)
            return self._refusal(request, Refusal.RESOURCES)
        except (FedvoxError, Exception):
            # Whatever went wrong, its text stays here: it may name a path or a patient.
            log.exception("%s failed in round %d", self.name, request.round)
            return self._refusal(request, Refusal.INTERNAL)

    def _answer(self, request: Request, learner: Learner | None) -> Reply:
        study = read_study(request.study)
        if contract_hash(study) != self._contract:
            raise SiteError(Refusal.CONTRACT, "data prepared under another contract")
        if study.privacy.mode != "none":
            self._require_guard()
        if request.kind == "describe":
            return self._describe(study)
        if not 0 <= request.round <= study.training.rounds:
            rounds = study.training.rounds  # as many as were agreed to, and no more
            raise SiteError(Refusal.STUDY, f"round {request.round} of a study of {rounds}")
        if learner is None:
            raise SiteError(Refusal.INTERNAL, "no learner for a request that needs one")
        weights = request.arrays.get("weights", {})
        if sha256_of(weights) != request.weights_sha256:
            raise SiteError(Refusal.WEIGHTS, "the weights are not those that were announced")
        if request.kind == "train":
            return self._train(request, weights, study, learner)
        return self._evaluate(request, weights, study, learner)

    def _describe(self, study: Study) -> Reply:
        splits = self._roster.patients
        facts = {f"patients_{split}": self._count(study, split) for split in splits}
        return Reply(
            self.name,
            examples=self._count(study, "train"),
            facts={**facts, "contract": self._contract, "fedvox": __version__},
        )

    def _train(self, request: Request, weights: Arrays, study: Study, learner: Learner) -> Reply:
        keys = self._keys("train")
        seed, balance = seed_of(study.study.seed, self._seed_name), study.training.balance
        batches = Batches(learner.task, self._store, keys, seed, balance)
        stretch = stretch_of_round(study.training, request.round)
        before = self._state.before(request.round)
        work = LocalWork(learner, weights, request.arrays, before, batches, stretch)
        patients = self._count(study, "train")
        if study.privacy.mode == "none":
            done = work.train()
            self._state.keep(request.round, done.state)
            arrays, figures = done.arrays, done.figures
        else:
            # Imported here: a study without privacy does not wait for what that takes.
            from fedvox.client.private_round import train_privately

            _require_private(learner)
            people = self._roster.people["train"]
            keep = partial(self._state.keep, request.round, now=True)
            arrays, figures = train_privately(
                self._require_guard(), request, work, self._store, people, patients, keep
            )
        return Reply(
            self.name,
            request.round,
            request.weights_sha256,
            examples=patients,
            arrays=arrays,
            figures=figures,
        )

    def _require_guard(self) -> Guard:
        if self._guard is None:
            raise SiteError(Refusal.PRIVACY, "this site keeps no ledger")
        return self._guard

    def _count(self, study: Study, split: str) -> int:
        """Patients of a split, as exactly as may be known outside."""
        exact = self._roster.patients.get(split, 0)
        return exact if study.privacy.mode == "none" else bucketed(exact)

    def _evaluate(self, request: Request, weights: Arrays, study: Study, learner: Learner) -> Reply:
        if study.privacy.mode != "none" and not self._require_guard().shows_figures:
            raise SiteError(Refusal.PRIVACY, "metrics are not covered by what is charged")
        split = str(request.settings.get("split", "test"))
        keys = self._keys(split)
        own = weights_to_evaluate(study, learner, weights, self._state.before(request.round + 1))
        tally = learner.evaluate(own, self._store, keys)
        return Reply(
            self.name,
            request.round,
            request.weights_sha256,
            examples=self._count(study, split),
            arrays={"tally": tally},
        )

    def _keys(self, split: str) -> tuple[str, ...]:
        keys = self._roster.keys.get(split, ())
        if not keys:
            raise SiteError(Refusal.EMPTY, f"no {split} cases")
        return keys

    def _refusal(self, request: Request, refusal: Refusal) -> Reply:
        return Reply(self.name, request.round, request.weights_sha256, refusal=refusal)


def _require_private(learner: Learner) -> None:
    """Nothing is charged for a network that cannot be private."""
    try:
        _ = learner.clipping
    except StudyError as error:
        raise SiteError(Refusal.PRIVACY, str(error)) from None
