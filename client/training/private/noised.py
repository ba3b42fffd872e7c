"""Noise on a sum, and what is left of it as the gradient of a step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedvox.client.training.private.noise import BLOCK, Noise

_BLOCKS = 4
"""Drawn in a row: what is seldom is decided for all of them at once."""


@dataclass(frozen=True)
class Added:
    """What was seen when noise was added."""

    clean_norm: float
    """Of the sum before."""
    noise_norm: float
    """Of what the noise changed in it."""


def in_one(sums: Mapping[str, Tensor], names: Iterable[str]) -> Tensor:
    """[numbers] sums of the named parameters, one behind the other."""
    return torch.cat([sums[name].reshape(-1) for name in names])


@torch.no_grad()
def add_noise(summed: Tensor, noise: Noise, deviation: float) -> Added:
    """Adds normal noise to a sum [numbers], in place."""
    clean, changed = [], []
    for part in torch.split(summed, _BLOCKS * BLOCK):
        drawn = noise.gaussian(len(part)).to(part.device)
        pairs = zip(torch.split(part, BLOCK), torch.split(drawn, BLOCK), strict=True)
        for block, own in pairs:
            # In double precision, so that rounding tells nothing of either summand.
            noisy = block.double().add_(own, alpha=deviation).float()
            clean.append(torch.linalg.vector_norm(block))
            changed.append(torch.linalg.vector_norm(noisy - block))
            block.copy_(noisy)
    return Added(_whole(clean), _whole(changed))


def _whole(norms: list[Tensor]) -> float:
    return float(torch.linalg.vector_norm(torch.stack(norms), dtype=torch.float64))


@torch.no_grad()
def as_gradients(weights: Mapping[str, nn.Parameter], summed: Tensor, expected: float) -> None:
    """Gives every parameter its part of a sum [numbers], over the patients expected in a step."""
    sizes = [weight.numel() for weight in weights.values()]
    parts = torch.split(summed, sizes)
    for weight, part in zip(weights.values(), parts, strict=True):
        # In the layout of the parameter, as the optimizer wants it.
        weight.grad = torch.div(part.view(weight.shape), expected, out=torch.empty_like(weight))
