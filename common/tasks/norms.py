"""Norms that never mix patients: what stands where a network would have batch norm.

All networks are built with batch norm, the one norm that every MONAI network takes throughout, and
every such layer is then replaced. So all of them get the same norms by the same rules:

- instance norm (affine) where a channel's map has at least 16 voxels. On smaller maps, deep in the
  network, it would wipe out what the channels say (on one voxel everything becomes zero), so group
  norm takes its place there;
- group norm with as many groups as divide both `model.groups` and the layer's channels, fewer
  where a group would hold less than 16 numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from fedvox.common.errors import StudyError
from fedvox.common.study.sections import ModelSection
from fedvox.common.tasks.shapes import walk_through

_FEWEST_NUMBERS = 16


def map_voxels(make: Callable[[], nn.Module], image_shape: Sequence[int]) -> dict[str, int]:
    """Voxels of the map that reaches each batch norm of a network, by layer."""
    voxels: dict[str, int] = {}

    def note(name: str, _module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        voxels[name] = math.prod(inputs[0].shape[2:])

    def watch(network: nn.Module) -> None:
        for name, module in network.named_modules():
            if isinstance(module, _BatchNorm):
                module.register_forward_pre_hook(partial(note, name))

    walk_through(make, image_shape, watch)
    return voxels


def replace_batch_norm(network: nn.Module, voxels: Mapping[str, int], model: ModelSection) -> None:
    """Puts instance or group norm, as the study says, where the network has batch norm."""
    for name, module in list(network.named_modules()):
        if isinstance(module, _BatchNorm):
            network.set_submodule(name, _norm(module, name, voxels[name], model))


def refuse_batch_norm(network: nn.Module) -> None:
    """Raises StudyError naming the first layer that would mix patients."""
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm):
            raise StudyError(
                f"model.name: layer {name} is batch norm, which mixes patients and cannot be "
                "averaged between sites; use a network without it"
            )


def _norm(batch_norm: _BatchNorm, name: str, voxels: int, model: ModelSection) -> nn.Module:
    channels = batch_norm.num_features
    if model.norm == "instance" and voxels >= _FEWEST_NUMBERS:
        kind = nn.InstanceNorm3d if isinstance(batch_norm, nn.BatchNorm3d) else nn.InstanceNorm2d
        return kind(channels, affine=True)
    if voxels * channels < 2:
        raise StudyError(
            f"model.channels: layer {name} would normalise one single number, which leaves nothing "
            "of it; use more channels or a larger data.patch"
        )
    return nn.GroupNorm(_groups(model.groups, channels, voxels), channels)


def _groups(wanted: int, channels: int, voxels: int) -> int:
    shared = math.gcd(wanted, channels)
    divisors = (count for count in range(shared, 1, -1) if shared % count == 0)
    fits = (count for count in divisors if voxels * channels // count >= _FEWEST_NUMBERS)
    return next(fits, 1)
