"""Standard normal numbers from random words, by the ziggurat of Marsaglia and Tsang.

The bell is covered by layers of one area, each a box from its middle to its edge; the lowest has
the bell's tail beside it. A word chooses a layer and a place in it, both ways from the middle. What
lies within the box above lies under the bell and is taken as it is: 99.6 of 100 words end there,
without a logarithm or a sine. The rest is decided with further uniform numbers, at once: what falls
out of the bell begins anew, and a new beginning may as well be by Box and Muller.

Everything in double precision: a number of the single kind has 24 bits, and a sum rounded to single
precision would show, through the gaps between such numbers, what they were added to.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

_LAYERS = 1024
"""Chosen by the lowest bits of a word, which a double has no room for."""
_EDGE = 4.038849846109505
_WORD = 2.0**-63
"""Words are signed."""

Uniform = Callable[[int], Tensor]
"""So many numbers in [0, 1), in double precision."""


@dataclass(frozen=True)
class Layers:
    """[layers] of the bell exp(-x^2 / 2), from the lowest to its top."""

    outer: Tensor
    """Edge of the box; the lowest box is longer than its part of the bell, by the tail's area."""
    inner: Tensor
    """Edge of the box above."""
    tail: float
    """Chance that a normal number lies beyond the lowest edge on one side."""


@cache
def layers() -> Layers:
    """The layers, each with the area of the lowest: box and tail."""
    tail = 0.5 * math.erfc(_EDGE / math.sqrt(2.0))
    area = _EDGE * _height(_EDGE) + tail * math.sqrt(2.0 * math.pi)
    edges = [area / _height(_EDGE), _EDGE]
    while len(edges) < _LAYERS:
        edges.append(math.sqrt(-2.0 * math.log(_height(edges[-1]) + area / edges[-1])))
    outer, inner = (torch.tensor(own, dtype=torch.float64) for own in (edges, [*edges[1:], 0.0]))
    return Layers(outer, inner, tail)


def _height(edge: float) -> float:
    return math.exp(-0.5 * edge * edge)


def normal(words: Tensor, uniform: Uniform) -> Tensor:
    """[n] standard normal numbers from words [n] of 64 random bits."""
    bell = layers()
    layer = words & (_LAYERS - 1)
    numbers = words.double().mul_(_WORD).mul_(bell.outer.index_select(0, layer))
    open_at = np.flatnonzero((numbers.abs() >= bell.inner.index_select(0, layer)).numpy())
    if len(open_at):
        places = torch.from_numpy(open_at)
        numbers[places] = _decided(numbers[places], layer[places], uniform)
    return numbers


def _decided(numbers: Tensor, layer: Tensor, uniform: Uniform) -> Tensor:
    """What becomes of numbers outside the box above theirs."""
    bell = layers()
    chance, radius, angle = uniform(3 * len(numbers)).chunk(3)
    lower, upper = (torch.exp(-0.5 * edge[layer].square()) for edge in (bell.outer, bell.inner))
    under = torch.lerp(lower, upper, chance) < torch.exp(-0.5 * numbers.square())
    anew = torch.log1p(-radius).mul_(-2.0).sqrt_() * torch.cos(2.0 * math.pi * angle)
    # Beyond the lowest edge by the tail's own distribution, of which nothing is thrown away.
    beyond = torch.special.ndtri((1.0 - chance) * bell.tail).copysign_(numbers)
    return torch.where(layer == 0, beyond, torch.where(under, numbers, anew))
