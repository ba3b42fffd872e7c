"""The local optimizer, whose moments are named tensors so that they can outlive a round.

On torch's functional optimizers: its Optimizer classes load the compiler, which would cost every
start a second, and leave the fused kernels, three times as fast on a processor, to be asked for.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from fedvox.common.arrays import Array, Arrays
from fedvox.common.study.sections import TrainingSection

_EPSILON = 1e-8
"""Floor of the denominator of adam and adamw, as in torch's classes."""


class LocalOptimizer:
    """SGD, Adam or AdamW over the trainable parameters of a model."""

    def __init__(self, model: nn.Module, training: TrainingSection, moments: Arrays) -> None:
        """Goes on with `moments`, or from zero where there are none."""
        self._training = training
        self._parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._moments = {
            name: _moments(training, name, parameter, moments)
            for name, parameter in self._parameters.items()
        }

    def clear(self) -> None:
        """Forgets the gradients."""
        for parameter in self._parameters.values():
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Moves every parameter that has a gradient."""
        names = [name for name, parameter in self._parameters.items() if parameter.grad is not None]
        parameters: list[Tensor] = [self._parameters[name] for name in names]
        gradients = [_gradient(parameter) for parameter in parameters]
        if self._training.optimizer == "sgd":
            self._sgd(names, parameters, gradients, rate)
        else:
            self._adam(names, parameters, gradients, rate)

    def moments(self) -> dict[str, Array]:
        """A copy of the moments, named MOMENT/PARAMETER."""
        return {
            f"{moment}/{name}": on_cpu(tensor)
            for name, tensors in self._moments.items()
            for moment, tensor in tensors.items()
        }

    def _sgd(
        self, names: list[str], parameters: list[Tensor], gradients: list[Tensor], rate: float
    ) -> None:
        buffers = [self._moments[name].get("momentum_buffer") for name in names]
        sgd(
            parameters,
            gradients,
            buffers,
            fused=True,
            weight_decay=self._training.weight_decay,
            momentum=self._training.momentum,
            lr=rate,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )

    def _adam(
        self, names: list[str], parameters: list[Tensor], gradients: list[Tensor], rate: float
    ) -> None:
        moments = [self._moments[name] for name in names]
        adam(
            parameters,
            gradients,
            [own["exp_avg"] for own in moments],
            [own["exp_avg_sq"] for own in moments],
            [],
            [own["step"] for own in moments],
            fused=True,
            decoupled_weight_decay=self._training.optimizer == "adamw",
            amsgrad=False,
            beta1=0.9,
            beta2=self._training.beta2,
            lr=rate,
            weight_decay=self._training.weight_decay,
            eps=_EPSILON,
            maximize=False,
        )


def _moments(
    training: TrainingSection, name: str, parameter: Tensor, kept: Arrays
) -> dict[str, Tensor]:
    kinds = ["exp_avg", "exp_avg_sq"]
    if training.optimizer == "sgd":
        kinds = ["momentum_buffer"] if training.momentum else []
    found = {kind: torch.zeros_like(parameter.detach()) for kind in kinds}
    if training.optimizer != "sgd":
        found["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
    for kind, tensor in found.items():
        if (array := kept.get(f"{kind}/{name}")) is not None:
            tensor.copy_(torch.from_numpy(array))
    return found


def _gradient(parameter: Tensor) -> Tensor:
    """The gradient in the parameter's own layout: the fused kernels walk both side by side."""
    gradient = parameter.grad
    if gradient is None:
        raise RuntimeError("a parameter without a gradient cannot be moved")
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


def on_cpu(tensor: Tensor) -> Array:
    """A copy in C order: one copy, whatever the tensor's layout and device."""
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
    return np.asarray(copy.copy_(tensor.detach()).numpy())
