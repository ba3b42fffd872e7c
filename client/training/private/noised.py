"""Noise on a sum, and what is left of it as the gradient of a step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from fedvox.client.training.private.noise import BLOCK, Noise

PART = 4 * BLOCK
"""Numbers whose noise is a stream of its own. What is seldom is decided for all of them at once."""

Weights = Mapping[str, nn.Parameter]
"""The parameters that are trained, by name."""


@dataclass(frozen=True)
class Added:
    """What was seen when noise was added."""

    clean_norm: float
    """Of the sum before."""
    noise_norm: float
    """Of what the noise changed in it."""


def in_one(sums: Mapping[str, Tensor], weights: Weights) -> Tensor:
    """[numbers] the sums of all parameters behind each other, each in its parameter's layout."""
    first = next(iter(weights.values()))
    summed = torch.empty(sum(one.numel() for one in weights.values()), device=first.device)
    for name, part in _parts(summed, weights):
        part.copy_(sums[name])
    return summed


def add_sums(summed: Tensor, sums: Mapping[str, Tensor], weights: Weights) -> None:
    """Adds further sums to those that are in one."""
    for name, part in _parts(summed, weights):
        part.add_(sums[name])


def as_gradients(weights: Weights, mean: Tensor) -> None:
    """Gives every parameter its part of [numbers], which it then holds without a copy."""
    for name, part in _parts(mean, weights):
        weights[name].grad = part


def _parts(summed: Tensor, weights: Weights) -> Iterable[tuple[str, Tensor]]:
    """By parameter, seen in the layout of the parameter, as the optimizer wants it."""
    first = summed.storage_offset()
    for name, weight in weights.items():
        strides = torch.empty_like(weight, device="meta").stride()
        yield name, summed.as_strided(weight.shape, strides, first)
        first += weight.numel()


def noisy_mean(summed: Tensor, noise: Noise, deviation: float, divisor: float) -> Added:
    """Adds normal noise to a sum [numbers] and divides it, in place.

    Every part has a stream of its own: how many threads there are does not change a bit.
    """
    parts = torch.split(summed, PART)
    streams = [noise.branch() for _ in parts]
    work = partial(_noisy_mean, deviation=deviation, divisor=divisor)
    threads = min(torch.get_num_threads(), len(parts))
    if threads == 1:
        seen = list(map(work, parts, streams))
    else:
        with ThreadPoolExecutor(threads, "noise") as pool:
            seen = list(pool.map(work, parts, streams))
    clean, changed = torch.cat(seen, 1).double()
    return Added(float(clean.norm()), float(changed.norm()))


@torch.no_grad()
def _noisy_mean(part: Tensor, noise: Noise, deviation: float, divisor: float) -> Tensor:
    """[2, blocks] norms of the sum before and of what the noise changed in it."""
    drawn = noise.gaussian(len(part)).to(part.device)
    norms = []
    for block, own in zip(torch.split(part, BLOCK), torch.split(drawn, BLOCK), strict=True):
        # In double precision, so that rounding tells nothing of either summand.
        noisy = own.mul_(deviation).add_(block).float()
        norms += [torch.linalg.vector_norm(one) for one in (block, noisy - block)]
        torch.div(noisy, divisor, out=block)
    return torch.stack(norms).view(-1, 2).T
