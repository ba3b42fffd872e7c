"""`fedvox simulate` from the study to the report."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fedvox.client.training.learner import Learner, threads
from fedvox.common.errors import FedvoxError, InputError, QuorumError, ResourceError
from fedvox.common.files import RunLock, write_json_atomic, write_text_atomic
from fedvox.common.study import Study, dump_study
from fedvox.common.tasks.task import initial_weights, task_for
from fedvox.server.conduct import Conducted, conduct
from fedvox.server.events import Event, Watch
from fedvox.server.record import RoundLog
from fedvox.server.strategies.registry import strategy_for
from fedvox.server.watch import many, watch_for
from fedvox.server.watch.tensorboard import tensorboard
from fedvox.simulations.baselines import Baseline, run_baselines
from fedvox.simulations.consortium import Consortium, gather
from fedvox.simulations.directory import log_in, log_of, new_folder, require_same, study_of
from fedvox.simulations.engines import on_engine, workers_for
from fedvox.simulations.memory import require_memory
from fedvox.simulations.partition import write_partition
from fedvox.simulations.resolve import resolve_study
from fedvox.simulations.samples import write_evaluation, write_samples
from fedvox.simulations.sites import SimulatedSites
from fedvox.simulations.sources import Source
from fedvox.simulations.summary import Clock, holdings, summarise


@dataclass(frozen=True)
class Wish:
    """What the command line asked for."""

    study: Path | None
    settings: Sequence[str]
    out: Path | None
    resume: Path | None
    console: str


def simulate(wish: Wish) -> int:
    """Runs the study, or each of its folds; the exit status."""
    if wish.resume:
        wish = _resuming(wish, wish.resume)
    study, source = resolve_study(wish.study, wish.settings)
    if wish.resume:
        require_same(study, wish.resume)
    _require_possible(study)
    folder = wish.resume or new_folder(wish.out, study.study.name)
    with watch_for(wish.console) as watch:
        if study.simulation.folds and study.simulation.fold < 0:
            from fedvox.simulations.folds import run_folds

            run_folds(study, source, folder, watch)
        else:
            run_study(study, source, folder, watch)
    return 0


def run_study(study: Study, source: Source, folder: Path, watch: Watch) -> dict[str, Any]:
    """One study in one run directory; its summary. What was done before is not done again."""
    with RunLock(folder, "--out"), log_in(folder), threads(study.simulation.threads):
        write_text_atomic(folder / "study.toml", dump_study(study))
        with tensorboard(folder / "tensorboard") as scalars:
            run = _Run(study, folder, many(watch, scalars), Clock.of(folder))
            try:
                return run.all(source)
            except KeyboardInterrupt:
                with suppress(FedvoxError):
                    run.leave("interrupted")
                raise
            except FedvoxError as error:
                run.leave("failed", str(error))  # a disk that is full is what must be told
                if isinstance(error, ResourceError):  # the same again would be another run
                    raise ResourceError(f"{error}; the run goes on with --resume") from error
                if isinstance(error, QuorumError):
                    text = f"{error}. What the sites say of it is in {log_of(folder)}"
                    raise QuorumError(text) from error
                raise


def _resuming(wish: Wish, folder: Path) -> Wish:
    if wish.study or wish.out:
        raise InputError("--resume goes on with a run as it was begun: give no study and no --out")
    return replace(wish, study=study_of(folder))


def _require_possible(study: Study) -> None:
    """What can be known to fail fails here, before there is a run directory."""
    strategy_for(study)
    require_memory(study, workers_for(study))
    if study.privacy.mode == "patient":
        _ = Learner(study).clipping  # refuses what cannot be private, by the name of the layer


class _Run:
    """The stages of a run, and as much of a summary as there is when one of them fails."""

    def __init__(self, study: Study, folder: Path, watch: Watch, clock: Clock) -> None:
        self._study = study
        self._folder = folder
        self._clock = clock
        self._outer_watch = watch
        self._notes: list[str] = []
        self._consortium: Consortium | None = None
        self._conducted: Conducted | None = None
        self._baselines: dict[str, Baseline] | None = None

    def all(self, source: Source) -> dict[str, Any]:
        study = self._study
        with self._clock.timed("prepare"):
            consortium = gather(study, source, workers_for(study), self._progress)
        self._consortium = consortium
        write_partition(self._folder / "partition.csv", consortium.rows)
        self._watch(Event("held", detail={"sites": holdings(consortium)}))
        with self._clock.timed("train"):
            self._conducted = self._federate(consortium)
        if study.simulation.baselines:
            with self._clock.timed("baselines"):
                self._baselines = self._train_baselines(consortium)
        write_samples(self._folder, consortium, self._conducted.state.weights)
        write_evaluation(self._folder, consortium, self._conducted.test)
        summary = self.leave("done")
        report = str(self._folder / "report.html")
        self._watch(Event("finished", detail={**summary, "report": report}))
        return summary

    def leave(self, status: str, problem: str = "") -> dict[str, Any]:
        """Writes the summary and the report of what there is."""
        from fedvox.server.report.page import render_report

        notes = [*self._notes, problem] if problem else self._notes
        summary = summarise(
            self._study,
            status,
            self._folder,
            self._clock,
            notes,
            self._consortium,
            self._conducted,
            self._baselines,
        )
        write_json_atomic(self._folder / "summary.json", summary)
        render_report(self._folder)
        return summary

    def _federate(self, consortium: Consortium) -> Conducted:
        study, folder = self._study, self._folder
        sites = SimulatedSites(folder / "sites", consortium)
        metrics = task_for(study).metrics
        return on_engine(
            study,
            sites,
            len(consortium.sites),
            lambda grid: conduct(
                grid, study, folder, lambda: initial_weights(study), metrics, self._watch
            ),
        )

    def _train_baselines(self, consortium: Consortium) -> dict[str, Baseline]:
        return run_baselines(
            consortium,
            steps_taken(self._study, RoundLog(self._folder / "rounds.jsonl")),
            initial_weights(self._study),
            task_for(self._study).metrics,
            self._folder / "baselines",
            workers_for(self._study),
            self._watch,
        )

    def _progress(self, done: int, total: int) -> None:
        if done % 20 == 0 or done == total:
            self._watch(Event("prepare", figures={"done": done, "total": total}))

    def _watch(self, event: Event) -> None:
        if event.kind == "note":
            self._notes.append(str(event.detail["text"]))
        self._outer_watch(event)


def steps_taken(study: Study, log: RoundLog) -> dict[str, int]:
    """Gradient steps of each site that reached the model."""
    steps: dict[str, int] = {}
    for line in log.read():
        for site in line["answered"]:
            steps[site] = steps.get(site, 0) + study.training.local_steps
    return steps
