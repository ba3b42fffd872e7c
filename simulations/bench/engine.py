"""The in-process engine against a bare training loop, and against Flower's own engine."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from fedvox.client.training.learner import threads
from fedvox.common.study import Study
from fedvox.common.tasks.task import initial_weights, task_for
from fedvox.server.conduct import conduct
from fedvox.server.events import Event
from fedvox.simulations.bench.bare import BareLoop, seconds_of_round
from fedvox.simulations.bench.measure import Say, fresh_process, interleaved, median_ratio
from fedvox.simulations.bench.outcome import Headline, Outcome
from fedvox.simulations.consortium import Consortium, gather
from fedvox.simulations.engines import on_engine
from fedvox.simulations.resolve import resolve_study
from fedvox.simulations.sites import SimulatedSites

ROUNDS = 5
REPEATS = 2
STARTS = 5
REALISTIC = (
    "simulation.sites=8",
    "simulation.patients=12",
    "training.batch_size=4",
    "training.evaluate_every=0",
    "training.device=cpu",
    "data.test=0",
    "data.validation=0",
)
"""The default study at eight sites; nothing is evaluated, in either arm."""
SMALL = {"sites": 10, "rounds": ROUNDS, "local_steps": 2}
_SMALL_LIMIT_S = 600.0


@dataclass
class Pairs:
    """Seconds of each round by the engine and, right after it, by the bare loops."""

    engine: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    engine_cpu: list[float] = field(default_factory=list)
    """Of processor time, which says more than wall time on a machine that others use too."""
    bare_cpu: list[float] = field(default_factory=list)


def bench(folder: Path, say: Say) -> Outcome:
    """Both comparisons."""
    singles = overheads(REALISTIC, 1, ROUNDS, REPEATS, say)
    doubles = overheads(REALISTIC, 2, ROUNDS, REPEATS, say)
    stock = interleaved({arm: _start_up(arm) for arm in ("fedvox", "stock")}, STARTS, say)
    faster = median_ratio(stock["stock"], stock["fedvox"])
    rows = [
        _row("8 sites x 5 rounds, one worker : one loop", singles),
        _row("8 sites x 5 rounds, two workers : two loops", doubles),
        (
            "10 sites x 5 rounds x 2 small steps, start-up included : stock Flower",
            f"{median(stock['fedvox']):.2f}",
            f"{median(stock['stock']):.2f}",
            f"{1 / faster:.3f}",
        ),
    ]
    cpu = cpu_ratio_of(singles), cpu_ratio_of(doubles)
    return Outcome(
        "engine",
        ("median seconds", "engine", "other", "ratio"),
        rows,
        (
            Headline("engine over bare loop", ratio_of(singles), "<=", 1.05),
            Headline("stock Flower over engine", faster, ">=", 5.0),
        ),
        {
            "one_worker": [vars(pairs) for pairs in singles],
            "two_workers": [vars(pairs) for pairs in doubles],
            "one_worker_ratio": {"wall": ratio_of(singles), "cpu": cpu_ratio_of(singles)},
            "two_workers_ratio": {"wall": ratio_of(doubles), "cpu": cpu_ratio_of(doubles)},
            "small_steps": stock,
        },
        (f"in processor time: one worker {cpu[0]:.3f}, two workers {cpu[1]:.3f}",),
    )


class _Moment(NamedTuple):
    wall: float
    cpu: float


def _now() -> _Moment:
    return _Moment(time.perf_counter(), time.process_time())


def cpu_ratio_of(repeats: Sequence[Pairs]) -> float:
    """`ratio_of` in processor time."""
    engine = [seconds for one in repeats for seconds in one.engine_cpu]
    return median_ratio(engine, [seconds for one in repeats for seconds in one.bare_cpu])


def ratio_of(repeats: Sequence[Pairs]) -> float:
    """The median over the rounds of all repeats: what disturbs one round does not count."""
    engine = [seconds for one in repeats for seconds in one.engine]
    return median_ratio(engine, [seconds for one in repeats for seconds in one.bare])


def overheads(
    settings: Sequence[str], workers: int, rounds: int, repeats: int, say: Say
) -> list[Pairs]:
    """Repeats of the engine's rounds, each followed by the same steps in bare loops."""
    wanted = [*settings, f"training.rounds={rounds + 1}", f"simulation.workers={workers}"]
    study, source = resolve_study(None, wanted)
    consortium = gather(study, source, workers)
    found = []
    with threads(study.simulation.threads):
        loops = [BareLoop(consortium, consortium.sites[n::workers]) for n in range(workers)]
        for repeat in range(repeats):
            found.append(_side_by_side(study, consortium, loops))
            ratio, cpu = ratio_of(found[-1:]), cpu_ratio_of(found[-1:])
            turn = f"{workers} : {workers}, {repeat + 1}/{repeats}"
            say(f"{turn}: engine over bare {ratio:.3f}, in processor time {cpu:.3f}")
    return found


def _side_by_side(study: Study, consortium: Consortium, loops: Sequence[BareLoop]) -> Pairs:
    """One run of the engine. Whenever it has closed a round, the loops take the same steps.

    The first round builds models and is not counted.
    """
    pairs = Pairs()
    begun = _now()

    def watch(event: Event) -> None:
        nonlocal begun
        if event.kind == "closed":
            closed = _now()
            bare = seconds_of_round(loops, event.round)
            bare_cpu = _now().cpu - closed.cpu
            if event.round > 1:
                pairs.engine.append(closed.wall - begun.wall)
                pairs.engine_cpu.append(closed.cpu - begun.cpu)
                pairs.bare.append(bare)
                pairs.bare_cpu.append(bare_cpu)
        if event.kind in ("started", "closed"):
            begun = _now()

    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        sites = SimulatedSites(folder / "sites", consortium)
        on_engine(
            study,
            sites,
            len(consortium.sites),
            lambda grid: conduct(
                grid, study, folder, lambda: initial_weights(study), task_for(study).metrics, watch
            ),
        )
    return pairs


def _start_up(arm: str) -> Any:
    return lambda: fresh_process(f"small_{arm}", _SMALL_LIMIT_S, **SMALL).seconds


def _row(name: str, repeats: Sequence[Pairs]) -> tuple[str, str, str, str]:
    engine = median(sum(one.engine) for one in repeats)
    bare = median(sum(one.bare) for one in repeats)
    return name, f"{engine:.2f}", f"{bare:.2f}", f"{ratio_of(repeats):.3f}"
