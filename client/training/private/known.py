"""The layers whose per-patient gradients the layers engine can write down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedvox.client.training.private.contraction import Kernel
from fedvox.client.training.private.normed import instance_norm
from fedvox.client.training.private.prelu import prelu
from fedvox.common.tasks.standardise import Standardised2d, Standardised3d

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
STANDARDISED = (Standardised2d, Standardised3d)
TRANSPOSED = (nn.ConvTranspose2d, nn.ConvTranspose3d)
Expand = Callable[[str], Tensor | None]
"""Name of a parameter -> [samples, *shape], one copy for each sample; None where there is none."""


def contracted(module: nn.Module) -> bool:
    """Whether the weight's gradient is a contraction of input and output gradient.

    By exact type: a subclass may do something else in its forward pass.
    """
    if type(module) in (*CONVOLUTIONS, *STANDARDISED, *TRANSPOSED):
        layer = cast(nn.Conv3d, module)
        return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return type(module) is nn.Linear


def unknown_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Layers with trainable parameters that the layers engine cannot do."""
    for name, module in model.named_modules():
        if owns_trainable(module) and not contracted(module) and type(module) not in EXPANDED:
            yield name, module


def owns_trainable(module: nn.Module) -> bool:
    """Whether the module itself, not its children, has parameters that are trained."""
    return any(weight.requires_grad for weight in module.parameters(recurse=False))


def kernel_of(module: nn.Module) -> Kernel:
    """How a contracted layer's kernel walks over its large map."""
    if isinstance(module, nn.Linear):
        return Kernel(tuple(module.weight.shape), (), (), ())
    layer = cast(nn.Conv3d, module)
    padding = cast(tuple[int, ...], layer.padding)
    return Kernel(tuple(layer.weight.shape), layer.stride, padding, layer.dilation, layer.groups)


def _instance_norm(module: nn.Module, image: Tensor, expand: Expand) -> Tensor:
    """As torch does it: batch norm of the batch folded into the channels."""
    layer = cast(nn.InstanceNorm3d, module)
    weight, bias = _flat(expand("weight")), _flat(expand("bias"))
    if weight is not None and bias is not None and image.device.type == "cpu":
        return instance_norm(image, weight, bias, layer.eps)
    folded = image.reshape(1, -1, *image.shape[2:])
    normed = functional.batch_norm(folded, None, None, weight, bias, True, 0.0, layer.eps)
    return normed.view(image.shape)


def _group_norm(module: nn.Module, image: Tensor, expand: Expand) -> Tensor:
    layer = cast(nn.GroupNorm, module)
    folded = image.reshape(1, -1, *image.shape[2:])
    weight, bias = _flat(expand("weight")), _flat(expand("bias"))
    groups = image.shape[0] * layer.num_groups
    return functional.group_norm(folded, groups, weight, bias, layer.eps).view(image.shape)


def _layer_norm(module: nn.Module, image: Tensor, expand: Expand) -> Tensor:
    layer = cast(nn.LayerNorm, module)
    normed = functional.layer_norm(image, layer.normalized_shape, eps=layer.eps)
    for name, join in (("weight", torch.mul), ("bias", torch.add)):
        copies = expand(name)
        if copies is not None:
            between = [1] * (image.ndim - copies.ndim)
            normed = join(normed, copies.view(len(copies), *between, *copies.shape[1:]))
    return normed


def _prelu(module: nn.Module, image: Tensor, expand: Expand) -> Tensor:
    copies = cast(Tensor, expand("weight"))
    slope = cast(nn.PReLU, module).weight
    if len(slope) == 1 and image.device.type == "cpu":
        return prelu(image, slope, copies[:, 0])
    shape = (1, -1, *image.shape[2:]) if len(slope) > 1 else (1, len(image), -1)
    return functional.prelu(image.reshape(shape), copies.flatten()).view(image.shape)


def _flat(copies: Tensor | None) -> Tensor | None:
    return None if copies is None else copies.flatten()


EXPANDED: dict[type[nn.Module], Callable[[nn.Module, Tensor, Expand], Tensor]] = {
    nn.InstanceNorm2d: _instance_norm,
    nn.InstanceNorm3d: _instance_norm,
    nn.GroupNorm: _group_norm,
    nn.LayerNorm: _layer_norm,
    nn.PReLU: _prelu,
}
"""Layers run with a copy of their parameters for each sample, at the price of running them as they
are: the batch is folded into the channels."""
