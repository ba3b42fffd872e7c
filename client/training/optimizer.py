"""The local optimizer, and its moments as named tensors so that they can outlive a round."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from fedvox.common.arrays import Array, Arrays
from fedvox.common.study.sections import TrainingSection


def make_optimizer(model: nn.Module, training: TrainingSection) -> Optimizer:
    """A fresh optimizer over the model's trainable parameters."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    rate, decay = training.lr, training.weight_decay
    if training.optimizer == "sgd":
        return SGD(parameters, lr=rate, weight_decay=decay, momentum=training.momentum)
    kind = AdamW if training.optimizer == "adamw" else Adam
    return kind(parameters, lr=rate, weight_decay=decay, betas=(0.9, training.beta2))


def write_moments(optimizer: Optimizer, model: nn.Module) -> Arrays:
    """The optimizer's state as tensors named MOMENT/PARAMETER."""
    names: dict[torch.Tensor, str] = {
        parameter: name for name, parameter in model.named_parameters()
    }
    return {
        f"{moment}/{names[parameter]}": on_cpu(value)
        for parameter, state in optimizer.state.items()
        for moment, value in state.items()
        if isinstance(value, torch.Tensor)
    }


def read_moments(optimizer: Optimizer, model: nn.Module, moments: Arrays) -> None:
    """Goes on with the moments that `write_moments` gave."""
    parameters = dict(model.named_parameters())
    for key, array in moments.items():
        moment, _, name = key.partition("/")
        parameter = parameters[name]
        value = torch.from_numpy(array)
        alike = value.shape == parameter.shape  # the step count is not, and stays on the CPU
        own = torch.empty_like(parameter.detach()) if alike else torch.empty_like(value)
        optimizer.state[parameter][moment] = own.copy_(value)


def on_cpu(tensor: torch.Tensor) -> Array:
    """A copy in C order: one copy, whatever the tensor's layout and device."""
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
    return np.asarray(copy.copy_(tensor.detach()).numpy())
