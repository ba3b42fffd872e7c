"""The rounds of a study: whom to ask, what to fold, when a round is closed, what is kept of it."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from flwr.serverapp import Grid

from fedvox.common.arrays import Arrays, distance, require_finite, sha256_of
from fedvox.common.codec import encoded_size
from fedvox.common.errors import QuorumError, Refusal
from fedvox.common.messages import Kind, Reply, Request, Scalar
from fedvox.common.study import Study, contract_hash, dump_study, study_hash
from fedvox.server.admit import Admission, Code, Rejected
from fedvox.server.asking import Answers, Ear, ask, patience_for
from fedvox.server.checkpoint import Checkpoints, opened
from fedvox.server.evaluation import Evaluation, Metrics, evaluate
from fedvox.server.events import Event, Watch
from fedvox.server.fold import FoldError
from fedvox.server.meet import RELEASE, meet_newcomers
from fedvox.server.presence import Presence
from fedvox.server.record import RoundLog
from fedvox.server.strategies.smoothed import model_of
from fedvox.server.strategies.strategy import State, Strategy, Update
from fedvox.server.witness import Witness


@dataclass(frozen=True)
class Federation:
    """All that a study's rounds stand on."""

    grid: Grid
    study: Study
    strategy: Strategy
    checkpoints: Checkpoints
    rounds: RoundLog
    metrics: Metrics
    watch: Watch
    presence: Presence
    facts: dict[str, Reply]
    """How each site described itself; a site that comes later is added."""
    invited: Collection[str] = ()
    """Sites that may come later."""
    witness: Witness | None = None
    """In a consortium, what the sites and the coordinator sign for each other."""

    @property
    def patients(self) -> Mapping[str, int]:
        """Site -> training patients it said it has; it cannot count for more."""
        return {site: reply.examples for site, reply in self.facts.items()}

    def holders(self, split: str) -> list[str]:
        """The sites that have patients of a split."""
        name = f"patients_{split}"
        return sorted(site for site, reply in self.facts.items() if reply.facts.get(name, 0))

    @cached_property
    def study_text(self) -> str:
        """The study as every request carries it."""
        return dump_study(self.study)

    @property
    def trainable(self) -> list[str]:
        """Sites that have somebody to train on; the others only evaluate."""
        return sorted(site for site, patients in self.patients.items() if patients)

    def request(
        self, kind: Kind, state: State, number: int, weights_sha256: str, **settings: Scalar
    ) -> Request:
        """A request about the weights of a state."""
        groups: dict[str, Arrays] = {"weights": state.weights}
        settings |= RELEASE
        settings |= self.witness.last_closed() if self.witness else {}
        if kind == "train":
            groups |= self.strategy.sends(state)
        return Request(kind, self.study_text, number, weights_sha256, settings, groups)


def run_rounds(federation: Federation, state: State) -> State:
    """All rounds that are still to be done; the state after the last."""
    for number in range(state.round + 1, federation.study.training.rounds + 1):
        state = _round(federation, state, number)
    return state


def _round(federation: Federation, state: State, number: int) -> State:
    begun = time.perf_counter()
    study, watch = federation.study, federation.watch
    _welcome(federation)
    chosen = choose(federation.trainable, study, number)
    for site in chosen:
        watch(Event("asked", number, site))
    weights_in = sha256_of(state.weights)
    request = federation.request("train", state, number, weights_in)
    intake = _Intake(federation, state, number, weights_in, chosen)
    answers = ask(
        federation.grid,
        federation.presence,
        chosen,
        request,
        patience_for(study.participation, len(chosen)),
        Ear(
            intake.accept,
            lambda site, code: watch(Event("refused", number, site, detail={"code": code})),
            lambda sites: watch(Event("awaited", number, detail={"sites": sites})),
        ),
    )
    _require_quorum(answers, study, len(chosen), number)
    after = federation.strategy.finish(state, intake.fold, len(federation.trainable))
    require_finite(after.weights, f"the model after round {number}")
    line = intake.record(answers, chosen, after, encoded_size_of(request))
    if due(study, number):
        result = _validate(federation, after, number)
        line["evaluation"] = result.as_record() if result else None
    line["seconds"] = round(time.perf_counter() - begun, 4)
    if federation.witness:
        federation.witness.close(line)
    # The line before the checkpoint: a round is done when its checkpoint stands, and on resume
    # lines beyond the checkpoint are cut off.
    federation.rounds.append(line)
    path = federation.checkpoints.save(after, study_hash(study), contract_hash(study))
    figures = ("loss", "lr", "seconds", "bytes_up", "bytes_down", "update_norm")
    watch(Event("closed", number, figures={name: line[name] for name in figures}))
    return opened(path)


def choose(sites: list[str], study: Study, number: int) -> list[str]:
    """The sites asked in a round: all, or the study's share of them, drawn from the seed."""
    wanted = math.ceil(study.participation.fraction * len(sites) - 1e-9)
    wanted = min(len(sites), max(wanted, study.participation.min_sites))
    if wanted == len(sites):
        return sites
    rng = np.random.default_rng([study.study.seed, 2, number])
    return sorted(rng.choice(sites, wanted, replace=False).tolist())


def due(study: Study, number: int) -> bool:
    """Whether the model is evaluated on the validation patients after this round."""
    every = study.training.evaluate_every
    last = number == study.training.rounds
    return bool(every and study.data.validation and (number % every == 0 or last))


def encoded_size_of(request: Request) -> int:
    """Bytes of a request's tensors on a wire."""
    return sum(encoded_size(arrays) for arrays in request.arrays.values())


class _Intake:
    """Admits and folds the answers of one round as they arrive."""

    def __init__(
        self,
        federation: Federation,
        state: State,
        number: int,
        weights_sha256: str,
        asked: list[str],
    ) -> None:
        study = federation.study
        self._federation = federation
        self._number = number
        self._weights_in = weights_sha256
        limit = study.participation.max_update_norm
        self._admission = Admission(
            number, weights_sha256, state, federation.strategy, limit, asked, federation.patients
        )
        self._uniform = study.strategy.weighting == "uniform"
        self._sites: dict[str, dict[str, float]] = {}
        self._bytes_up = 0
        self.fold = federation.strategy.begin(state)

    def accept(self, site: str, reply: Reply) -> None:
        self._admission.check(site, reply)
        if witness := self._federation.witness:
            witness.check(site, reply)
        weight = 1 if self._uniform else reply.examples
        update = Update(site, weight, reply.arrays, reply.figures)
        try:
            self.fold = self._federation.strategy.fold(self.fold, update)
        except FoldError as error:
            raise Rejected(Code.NORM, str(error)) from None
        self._admission.counted(site, reply)
        self._bytes_up += sum(encoded_size(arrays) for arrays in reply.arrays.values())
        figures = {**reply.figures, "examples": float(reply.examples)}
        self._sites[site] = figures
        self._federation.watch(Event("trained", self._number, site, figures))

    def record(
        self, answers: Answers, chosen: list[str], after: State, request_bytes: int
    ) -> dict[str, Any]:
        """The line of rounds.jsonl."""
        return {
            "round": self._number,
            "asked": chosen,
            "answered": answers.answered,
            "refused": dict(sorted(answers.refused.items())),
            "late": answers.late,
            "bytes_up": self._bytes_up,
            "bytes_down": request_bytes * len(chosen),
            "loss": self._mean("loss"),
            "lr": self._mean("lr"),
            "update_norm": distance(after.weights, self._admission.weights),
            "weights_in": self._weights_in,
            "weights_out": sha256_of(after.weights),
            "sites": {site: self._sites[site] for site in sorted(self._sites)},
            "evaluation": None,
        }

    def _mean(self, figure: str) -> float:
        """Over the sites' examples, in the order of their names."""
        told = [self._sites[site] for site in sorted(self._sites) if figure in self._sites[site]]
        total = sum(site["examples"] for site in told)
        return sum(site[figure] * site["examples"] for site in told) / total if total else math.nan


def _require_quorum(answers: Answers, study: Study, asked: int, number: int) -> None:
    need = patience_for(study.participation, asked).need
    if len(answers.answered) >= need:
        return
    reasons = ", ".join(f"{site}: {code}" for site, code in sorted(answers.refused.items()))
    sentences = {r.sentence for r in Refusal if r in answers.refused.values()}
    reasons += f" ({'; '.join(sorted(sentences))})" if sentences else ""
    raise QuorumError(
        f"round {number}: {len(answers.answered)} of {asked} sites answered, the study demands "
        f"{need} (participation.min_sites, participation.quorum). Refused: {reasons or 'none'}. "
        f"Nothing is lost: remove the cause and go on with --resume{_hint(answers)}"
    )


def _hint(answers: Answers) -> str:
    diverged = {Code.NOT_FINITE, Code.NORM} & {*answers.refused.values()}
    return "; where training diverges, begin anew with a lower training.lr" if diverged else ""


def _validate(federation: Federation, state: State, number: int) -> Evaluation | None:
    return evaluate(federation, model_of(state), number, "validation")


def _welcome(federation: Federation) -> None:
    """Sites that come late take part from the next round on."""
    missing = set(federation.invited) - federation.facts.keys()
    if missing:
        grid, presence, study = federation.grid, federation.presence, federation.study
        found = meet_newcomers(grid, presence, missing, study, federation.watch)
        federation.facts.update(found)
