"""Federated averaging as a user of plain Flower writes it: MONAI, NumPy arrays, FedAvg."""

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
from monai.losses.dice import DiceCELoss
from monai.networks.nets.unet import UNet
from torch import nn

_EXAMPLES = 4
_EDGE = 16
_BATCH = 2


@dataclass(frozen=True)
class _Parts:
    """What a process of Flower's engine builds once and keeps."""

    model: nn.Module
    loss: nn.Module


def simulate(sites: int, rounds: int, local_steps: int) -> int:
    """Runs the rounds; how many were done."""
    done: list[int] = []
    server = ServerApp()

    def serve(grid: Grid, _: Context) -> None:
        strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=sites, min_available_nodes=sites)
        model = _parts().model
        result = strategy.start(grid, ArrayRecord(_weights(model)), num_rounds=rounds)
        done.append(len(result.train_metrics_clientapp))

    def train(message: Message, context: Context) -> Message:
        parts = _parts()
        arrays = message.content.array_records["arrays"].to_numpy_ndarrays()
        for tensor, array in zip(parts.model.state_dict().values(), arrays, strict=True):
            tensor.copy_(torch.from_numpy(array))
        loss = _train(parts, int(context.node_config["partition-id"]), local_steps)
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
def _parts() -> _Parts:
    """The network of `arms.small_settings`, and the same loss."""
    torch.set_num_threads(1)
    model = UNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=3,
        channels=(8, 16),
        strides=(2,),
        num_res_units=2,
        norm=("instance", {"affine": True}),
    )
    return _Parts(model, DiceCELoss(to_onehot_y=True, softmax=True))


def _weights(model: nn.Module) -> list[np.ndarray]:
    return [tensor.numpy() for tensor in model.state_dict().values()]


def _train(parts: _Parts, seed: int, local_steps: int) -> float:
    model = parts.model
    shape = (_BATCH, 1, _EDGE, _EDGE, _EDGE)
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), 8e-3)
    for _ in range(local_steps):
        # Patches out of thin air: this side is spared the preparing, reading and cutting.
        image = torch.from_numpy(rng.standard_normal(shape, np.float32))
        label = torch.from_numpy(rng.integers(0, 3, shape))
        optimizer.zero_grad()
        loss = parts.loss(model(image), label)
        loss.backward()
        optimizer.step()
    return float(loss.item())
