"""Noise on a sum, and what is left of it as the gradient of a step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fedvox.client.training.private.noise import Noise

PART = 1 << 18
"""Numbers whose noise is a stream of its own. What is seldom is decided for all of them at once."""

Singles = npt.NDArray[np.float32]

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


def noisy_mean(summed: Tensor, noise: Noise, deviation: float, expected: float) -> Added:
    """Adds normal noise to a sum [numbers] and divides by the patients expected, in place.

    Every part has a stream of its own: how many threads there are does not change a bit.
    """
    numbers = summed.cpu()
    parts = [part.numpy() for part in torch.split(numbers, PART)]
    streams = [noise.branch() for _ in parts]
    work = partial(_noisy_mean, deviation=deviation, expected=expected)
    threads = min(torch.get_num_threads(), len(parts))
    if threads == 1:
        seen = list(map(work, parts, streams))
    else:
        with ThreadPoolExecutor(threads, "noise") as pool:
            seen = list(pool.map(work, parts, streams))
    summed.copy_(numbers)
    clean, changed = np.sqrt(np.sum(seen, axis=0))
    return Added(float(clean), float(changed))


def _noisy_mean(
    part: Singles, noise: Noise, deviation: float, expected: float
) -> tuple[float, float]:
    """Squared norms of the sum before and of what the noise changed in it."""
    drawn = noise.gaussian(len(part)).numpy()
    with np.errstate(all="ignore"):  # what is not finite shows in the norms
        np.multiply(drawn, deviation, out=drawn)
        # In double precision, so that rounding tells nothing of either summand.
        noisy = np.add(drawn, part.astype(np.float64), out=drawn).astype(np.float32)
        changed = noisy - part
        seen = float(np.einsum("n,n", part, part)), float(np.einsum("n,n", changed, changed))
        np.divide(noisy, np.float32(expected), out=part)
    return seen
