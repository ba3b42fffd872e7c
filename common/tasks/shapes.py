"""The shapes of a network's maps, before there is anything to train."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

_QUICK_VOXELS = 48**3
_QUICK_PARAMETERS = 10_000_000
"""Up to here a real pass is quicker than loading what torch needs for a pass without numbers."""


def walk_through(
    make: Callable[[], nn.Module], image_shape: Sequence[int], hook: Callable[[nn.Module], None]
) -> None:
    """Makes a network, lets `hook` register what it wants to see, and sends one image through."""
    device = "cpu" if _is_small(make, image_shape) else "meta"
    with torch.device(device), torch.no_grad():
        network = make()
        hook(network)
        network.eval()(torch.zeros((1, *image_shape)))


def _is_small(make: Callable[[], nn.Module], image_shape: Sequence[int]) -> bool:
    if math.prod(image_shape) > _QUICK_VOXELS:
        return False
    with torch.device("meta"):
        return sum(tensor.numel() for tensor in make().parameters()) <= _QUICK_PARAMETERS
