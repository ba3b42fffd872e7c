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

_GLANCE_S = 0.2
"""How often is looked whether it is over: a join without a limit would not hear of Ctrl-C."""


def on_ray(
    app: ClientApp, sites: int, workers: int, study: Study, work: Callable[[Grid], Conducted]
) -> Conducted:
    """Does the work on Flower's grid, with the ClientApp running in Ray's actors."""
    results: list[Conducted] = []
    failures: list[BaseException] = []
    conducting: list[threading.Thread] = []
    stopped = threading.Event()
    server = ServerApp()

    def conduct(grid: Grid, _: Context) -> None:
        conducting.append(threading.current_thread())
        try:
            if stopped.is_set():
                raise KeyboardInterrupt
            results.append(work(grid))
        except BaseException as error:
            failures.append(error)

    server.main()(conduct)

    def stop() -> None:
        stopped.set()
        interrupt(conducting)

    def simulate() -> None:
        try:
            run_simulation(server, app, sites, backend_config=_backend(study, workers))
        except BaseException as error:
            failures.append(error)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # What goes wrong is raised from here; what Flower says of it beside would be said twice.
        logging.getLogger("flwr").setLevel(logging.CRITICAL)
        _in_thread(simulate, stop)
    if failures:
        raise failures[0]
    if not results:
        raise FedvoxError("Flower's simulation engine stopped before the study was done")
    return results[0]


def _in_thread(simulate: Callable[[], None], stop: Callable[[], None]) -> None:
    """Runs the simulation to its end, of its own accord or on Ctrl-C.

    Not in this thread: an interruption in the midst of Flower's engine would have Ray taken down
    under threads that are still using it. So the rounds are interrupted, and the engine then ends
    as it does when they are done.
    """
    running = threading.Thread(target=simulate, name="ray-engine", daemon=True)
    running.start()
    try:
        while running.is_alive():
            running.join(_GLANCE_S)
    except BaseException:
        stop()
        running.join()
        raise


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
