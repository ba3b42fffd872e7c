"""Arms that need a process of their own: `python -m fedvox.simulations.bench.arms ARM SETTINGS`.

An arm prints one JSON object as its last line.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedvox.simulations.bench.measure import peak_bytes

_OFFLINE = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def small_settings(sites: int, rounds: int, local_steps: int) -> list[str]:
    """A study whose steps take a few milliseconds, and in which nothing is evaluated.

    The sites take them as the other arm's do: in float32, with a new optimizer in every round.
    """
    return [
        f"simulation.sites={sites}",
        f"training.rounds={rounds}",
        f"training.local_steps={local_steps}",
        "simulation.patients=4",
        "data.patch=[16, 16, 16]",
        "data.test=0",
        "data.validation=0",
        "model.channels=[8, 16]",
        "training.batch_size=2",
        "training.evaluate_every=0",
        "training.device=cpu",
        "training.precision=fp32",
        "training.optimizer_state=reset",
    ]


def small_fedvox(sites: int, rounds: int, local_steps: int) -> dict[str, Any]:
    """Small steps on the in-process engine, with its checkpoints and logs."""
    from fedvox.client.training.learner import threads
    from fedvox.common.tasks.task import initial_weights, task_for
    from fedvox.server.conduct import conduct
    from fedvox.simulations.consortium import gather
    from fedvox.simulations.engines import on_engine, workers_for
    from fedvox.simulations.resolve import resolve_study
    from fedvox.simulations.sites import SimulatedSites

    study, source = resolve_study(None, small_settings(sites, rounds, local_steps))
    consortium = gather(study, source, workers_for(study))
    with tempfile.TemporaryDirectory() as home, threads(study.simulation.threads):
        folder = Path(home)
        conducted = on_engine(
            study,
            SimulatedSites(folder / "sites", consortium),
            sites,
            lambda grid: conduct(
                grid,
                study,
                folder,
                lambda: initial_weights(study),
                task_for(study).metrics,
                lambda event: None,
            ),
        )
    return {"rounds": conducted.state.round}


def small_stock(sites: int, rounds: int, local_steps: int) -> dict[str, Any]:
    """The same steps in Flower's own simulation, by its own FedAvg."""
    from fedvox.simulations.bench.stock import simulate

    return {"rounds": simulate(sites, rounds, local_steps)}


def whole_run(settings: list[str]) -> dict[str, Any]:
    """A whole `fedvox simulate`, from the phantoms to the report."""
    from fedvox.common.cli import main

    with tempfile.TemporaryDirectory() as home:
        words = [word for setting in settings for word in ("--set", setting)]
        folder = Path(home) / "run"
        status = main(["simulate", "--quiet", "--out", str(folder), *words])
        if status:
            sys.exit(status)
        summary = json.loads((folder / "summary.json").read_text())
    return {"sites": len(summary["sites"]), "rounds": summary["rounds_completed"]}


def dp_steps(way: str, steps: int, thread_count: int, **setting: Any) -> dict[str, Any]:
    """Training steps, plain or private."""
    from fedvox.simulations.bench.dp_steps import some_steps

    return some_steps(way, steps, thread_count, **setting)


ARMS: dict[str, Callable[..., dict[str, Any]]] = {
    "small_fedvox": small_fedvox,
    "small_stock": small_stock,
    "whole_run": whole_run,
    "dp_steps": dp_steps,
}


def main(arm: str, settings: str) -> None:
    """Runs an arm and prints what it gave, with the most memory that was held."""
    os.environ.update(_OFFLINE)
    result = ARMS[arm](**json.loads(settings))
    print(json.dumps({**result, "peak_bytes": peak_bytes()}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
