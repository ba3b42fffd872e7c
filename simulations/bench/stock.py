"""Federated averaging as a user of plain Flower writes it: NumPy arrays, FedAvg, run_simulation."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from torch import nn

from fedvox.common.study import Study
from fedvox.common.tasks.task import Task, task_for
from fedvox.simulations.bench.arms import small_settings
from fedvox.simulations.resolve import resolve_study

_EXAMPLES = 4


@dataclass(frozen=True)
class _Parts:
    """What a process of Flower's engine builds once and keeps."""

    study: Study
    task: Task
    model: nn.Module


def simulate(sites: int, rounds: int, local_steps: int) -> int:
    """Runs the rounds; how many were done."""
    done: list[int] = []
    server = ServerApp()

    def serve(grid: Grid, _: Context) -> None:
        strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=sites, min_available_nodes=sites)
        model = _parts(sites, rounds, local_steps).model
        result = strategy.start(grid, ArrayRecord(_weights(model)), num_rounds=rounds)
        done.append(len(result.train_metrics_clientapp))

    def train(message: Message, context: Context) -> Message:
        parts = _parts(sites, rounds, local_steps)
        arrays = message.content.array_records["arrays"].to_numpy_ndarrays()
        for tensor, array in zip(parts.model.state_dict().values(), arrays, strict=True):
            tensor.copy_(torch.from_numpy(array))
        loss = _train(parts, int(context.node_config["partition-id"]))
        metrics = MetricRecord({"loss": loss, "num-examples": _EXAMPLES})
        record = ArrayRecord(_weights(parts.model))
        return Message(RecordDict({"arrays": record, "metrics": metrics}), reply_to=message)

    client = ClientApp()
    client.train()(train)
    server.main()(serve)
    logging.getLogger("flwr").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run_simulation(
            server,
            client,
            sites,
            backend_config={
                "init_args": {"include_dashboard": False, "log_to_driver": False},
                "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            },
        )
    return sum(done)


@lru_cache(maxsize=1)
def _parts(sites: int, rounds: int, local_steps: int) -> _Parts:
    torch.set_num_threads(1)
    study, _ = resolve_study(None, small_settings(sites, rounds, local_steps))
    task = task_for(study)
    return _Parts(study, task, task.build())


def _weights(model: nn.Module) -> list[np.ndarray]:
    return [tensor.numpy() for tensor in model.state_dict().values()]


def _train(parts: _Parts, seed: int) -> float:
    training, model = parts.study.training, parts.model
    shape = (training.batch_size, 1, *parts.study.data.patch)
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), training.lr)
    for _ in range(training.local_steps):
        # Patches out of thin air: this side is spared the preparing, reading and cutting.
        image = torch.from_numpy(rng.standard_normal(shape, np.float32))
        label = torch.from_numpy(rng.integers(0, len(parts.task.classes), shape))
        optimizer.zero_grad()
        loss = parts.task.loss(model(image), label)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return float(loss.item())
