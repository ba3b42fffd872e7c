"""One hospital: answers requests about its own cases, and decides itself what it sends."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from fedvox.client.local import train_locally, weights_to_evaluate
from fedvox.client.state import SiteState
from fedvox.client.store import Store
from fedvox.client.training.batches import Batches, seed_of
from fedvox.client.training.learner import Learner
from fedvox.client.training.schedule import stretch_of_round
from fedvox.common import __version__
from fedvox.common.arrays import Arrays, sha256_of
from fedvox.common.errors import FedvoxError, Refusal, ResourceError, SiteError, StudyError
from fedvox.common.messages import Reply, Request
from fedvox.common.study import Study, contract_hash, parse_study

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Roster:
    """Which cases a site has for what: store keys by split, and of how many patients."""

    keys: Mapping[str, tuple[str, ...]]
    patients: Mapping[str, int]


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
        self, name: str, roster: Roster, store: Store, state: SiteState, contract: str
    ) -> None:
        self.name = name
        self._roster = roster
        self._store = store
        self._state = state
        self._contract = contract

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
        if request.kind == "describe":
            return self._describe()
        if learner is None:
            raise SiteError(Refusal.INTERNAL, "no learner for a request that needs one")
        weights = request.arrays.get("weights", {})
        if sha256_of(weights) != request.weights_sha256:
            raise SiteError(Refusal.WEIGHTS, "the weights are not those that were announced")
        if request.kind == "train":
            return self._train(request, weights, study, learner)
        return self._evaluate(request, weights, study, learner)

    def _describe(self) -> Reply:
        facts = {f"patients_{split}": number for split, number in self._roster.patients.items()}
        return Reply(
            self.name,
            examples=self._roster.patients.get("train", 0),
            facts={**facts, "contract": self._contract, "fedvox": __version__},
        )

    def _train(self, request: Request, weights: Arrays, study: Study, learner: Learner) -> Reply:
        keys = self._keys("train")
        batches = Batches(learner.task, self._store, keys, seed_of(study.study.seed, self.name))
        stretch = stretch_of_round(study.training, request.round)
        before = self._state.before(request.round)
        done = train_locally(learner, weights, request.arrays, before, batches, stretch)
        self._state.keep(request.round, done.state)
        return Reply(
            self.name,
            request.round,
            request.weights_sha256,
            examples=self._roster.patients["train"],
            arrays=done.arrays,
            figures={"loss": done.loss, "seconds": done.seconds, "lr": done.rate},
        )

    def _evaluate(self, request: Request, weights: Arrays, study: Study, learner: Learner) -> Reply:
        split = str(request.settings.get("split", "test"))
        keys = self._keys(split)
        own = weights_to_evaluate(study, learner, weights, self._state.before(request.round + 1))
        tally = learner.evaluate(own, self._store, keys)
        return Reply(
            self.name,
            request.round,
            request.weights_sha256,
            examples=self._roster.patients[split],
            arrays={"tally": tally},
        )

    def _keys(self, split: str) -> tuple[str, ...]:
        keys = self._roster.keys.get(split, ())
        if not keys:
            raise SiteError(Refusal.EMPTY, f"no {split} cases")
        return keys

    def _refusal(self, request: Request, refusal: Refusal) -> Reply:
        return Reply(self.name, request.round, request.weights_sha256, refusal=refusal)
