"""A study from the first round to the evaluated model, on any Grid, resumed where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flwr.serverapp import Grid

from fedvox.common.arrays import Arrays, count, require_finite, sha256_of
from fedvox.common.codec import encode
from fedvox.common.files import write_bytes_atomic
from fedvox.common.messages import Reply
from fedvox.common.study import (
    Study,
    contract_hash,
    dump_study,
    study_hash,
    without_paths,
    without_schedule,
)
from fedvox.server.checkpoint import Checkpoints, opened
from fedvox.server.evaluation import Evaluation, Metrics, evaluate
from fedvox.server.events import Event, Watch
from fedvox.server.meet import Met, meet_nodes
from fedvox.server.record import RoundLog
from fedvox.server.rounds import Federation, run_rounds
from fedvox.server.strategies.registry import strategy_for
from fedvox.server.strategies.smoothed import model_of
from fedvox.server.strategies.strategy import State, Strategy
from fedvox.server.witness import Witness


@dataclass(frozen=True)
class Conducted:
    """What a study came to."""

    state: State
    model_sha256: str
    facts: Mapping[str, Reply]
    """How each site described itself."""
    absent: Mapping[str, str]
    """Sites that could not take part at all, with the code."""
    test: Evaluation | None


@dataclass(frozen=True)
class Company:
    """Who takes part, and how they are met; without more, the nodes of a simulation."""

    meet: Callable[[Grid, Study], Met] = meet_nodes
    invited: Collection[str] = ()
    witness: Witness | None = None


def conduct(
    grid: Grid,
    study: Study,
    folder: Path,
    initial: Callable[[], Arrays],
    metrics: Metrics,
    watch: Watch,
    company: Company = Company(),
) -> Conducted:
    """Runs the study to its end in the run directory `folder`."""
    checkpoints = Checkpoints(folder / "checkpoints")
    strategy = strategy_for(study)
    state = _resumed(checkpoints, study, watch)
    resumed_from = state.round if state else 0
    state = state or _begun(checkpoints, strategy, study, initial)
    require_finite(state.weights, f"the weights to go on from after round {state.round}")
    log = RoundLog(folder / "rounds.jsonl")
    log.cut_after(state.round)
    met = company.meet(grid, study)
    federation = Federation(
        grid, study, strategy, checkpoints, log, metrics, watch, met.presence, met.facts,
        company.invited, company.witness,
    )  # fmt: skip
    watch(Event("started", detail=_started(study, met.facts, state, resumed_from)))
    state = model_of(run_rounds(federation, state))
    model_sha256 = sha256_of(state.weights)
    save_model(folder / "model.safetensors", state.weights, study)
    test = evaluate(federation, state, state.round, "test")
    return Conducted(state, model_sha256, met.facts, met.refused, test)


def save_model(path: Path, weights: Arrays, study: Study) -> None:
    """The weights with the study and the data contract they were trained under."""
    notes = {
        "study": dump_study(without_schedule(without_paths(study))),
        "study_sha256": study_hash(study),
        "contract_sha256": contract_hash(study),
    }
    write_bytes_atomic(path, encode(weights, notes))


def _resumed(checkpoints: Checkpoints, study: Study, watch: Watch) -> State | None:
    found = checkpoints.latest(study_hash(study), contract_hash(study))
    for path, reason in found.passed_over:
        watch(Event("note", detail={"text": f"{path.name}: {reason}; went back one checkpoint"}))
    return found.state


def _begun(
    checkpoints: Checkpoints, strategy: Strategy, study: Study, initial: Callable[[], Arrays]
) -> State:
    """The state before the first round, on disk like every other."""
    state = strategy.start(initial())
    return opened(checkpoints.save(state, study_hash(study), contract_hash(study)))


def _started(
    study: Study, sites: Iterable[str], state: State, resumed_from: int
) -> dict[str, object]:
    return {
        "study": study.study.name,
        "task": study.task.kind,
        "strategy": study.strategy.name,
        "rounds": study.training.rounds,
        "sites": list(sites),
        "parameters": count(state.weights),
        "resumed_from": resumed_from,
    }
