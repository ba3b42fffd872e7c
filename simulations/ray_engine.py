"""Flower's own simulation engine: Ray on this machine, or on the cluster at RAY_ADDRESS."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Callable

from flwr.app import Context
from flwr.app.typing import ConfigRecordValues
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation

from fedvox.client.training.device import choose_device
from fedvox.common.errors import FedvoxError
from fedvox.common.study import Study
from fedvox.server.conduct import Conducted
from fedvox.simulations.stopping import interrupt

BackendConfig = dict[str, dict[str, ConfigRecordValues]]


def on_ray(
    app: ClientApp, sites: int, workers: int, study: Study, work: Callable[[Grid], Conducted]
) -> Conducted:
    """Does the work on Flower's grid, with the ClientApp running in Ray's actors."""
    results: list[Conducted] = []
    failures: list[BaseException] = []
    conducting: list[threading.Thread] = []
    server = ServerApp()

    def conduct(grid: Grid, _: Context) -> None:
        conducting.append(threading.current_thread())
        try:
            results.append(work(grid))
        except BaseException as error:
            failures.append(error)

    server.main()(conduct)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # What goes wrong is raised from here; what Flower says of it beside would be said twice.
        logging.getLogger("flwr").setLevel(logging.CRITICAL)
        try:
            run_simulation(server, app, sites, backend_config=_backend(study, workers))
        except BaseException:
            interrupt(conducting)  # it would wait for answers that nobody works on any more
            raise
    if failures:
        raise failures[0]
    if not results:
        raise FedvoxError("Flower's simulation engine stopped before the study was done")
    return results[0]


def _backend(study: Study, workers: int) -> BackendConfig:
    init: dict[str, ConfigRecordValues] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if not os.environ.get("RAY_ADDRESS"):
        init |= {"num_cpus": workers * study.simulation.threads, "include_dashboard": False}
    on_gpu = choose_device(study).torch_device.type == "cuda"
    resources: dict[str, ConfigRecordValues] = {
        "num_cpus": study.simulation.threads,
        "num_gpus": 1.0 / workers if on_gpu else 0.0,
    }
    return {"init_args": init, "client_resources": resources}
