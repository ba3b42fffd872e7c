"""What carries the messages of a simulation: threads of this process, or Flower on Ray."""

from __future__ import annotations

import os
from collections.abc import Callable

from flwr.serverapp import Grid

from fedvox.client.app import client_app
from fedvox.client.training.device import choose_device
from fedvox.common.study import Study
from fedvox.server.conduct import Conducted
from fedvox.simulations.afterwards import Afterwards
from fedvox.simulations.inprocess import InProcessGrid
from fedvox.simulations.sites import SimulatedSites

Work = Callable[[Grid], Conducted]


def workers_for(study: Study) -> int:
    """How many sites train at the same time."""
    if study.simulation.workers:
        return study.simulation.workers
    if choose_device(study).torch_device.type == "cuda":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) // study.simulation.threads)


def on_engine(study: Study, sites: SimulatedSites, count: int, work: Work) -> Conducted:
    """Does the work on the grid of the study's engine, with so many sites behind it."""
    app = client_app(sites)
    workers = min(workers_for(study), count)
    if study.simulation.engine == "ray":
        from fedvox.simulations.ray_engine import on_ray

        return on_ray(app, count, workers, study, work)
    with Afterwards() as afterwards, InProcessGrid(app, count, workers, afterwards.settle) as grid:
        sites.perform = afterwards
        return work(grid)
