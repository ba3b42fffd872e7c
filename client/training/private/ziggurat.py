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
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import torch

_LAYERS = 1024
"""Chosen by the lowest bits of a word, which a double has no room for."""
_EDGE = 4.038849846109505
"""Of the lowest layer: with it the layers, each of one area, end at the bell's top."""

BLOCK = 1 << 17
"""Numbers worked out at once: few enough for the caches, and so many that threads, which hand on
Python's lock after each operation, do not spend their time on that."""

Floats = npt.NDArray[np.float64]
Words = npt.NDArray[np.int64]
Places = npt.NDArray[np.int64]
Uniform = Callable[[int], Floats]
"""So many numbers in [0, 1)."""


@dataclass(frozen=True)
class Layers:
    """[layers] of the bell exp(-x^2 / 2), from the lowest to its top."""

    steps: Floats
    """What a word is multiplied by: half the box's width over half of all words.

    The lowest box is longer than its part of the bell, by the tail's area."""
    inner: Floats
    """Edge of the box above."""
    lower: Floats
    """Height of the box's lower side; that of the lowest is not asked for."""
    upper: Floats
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
    outer, inner = np.array(edges), np.array([*edges[1:], 0.0])
    lower, upper = (np.exp(-0.5 * edge * edge) for edge in (outer, inner))
    return Layers(outer * 2.0**-63, inner, lower, upper, tail)


def _height(edge: float) -> float:
    return math.exp(-0.5 * edge * edge)


class Desk(threading.local):
    """Where a thread works out a block of numbers, so that nothing is laid out for each step."""

    def __init__(self) -> None:
        # The cipher wants room for one of its own blocks more than it writes.
        self.words = bytearray(8 * BLOCK + 15)
        self.layer = np.empty(BLOCK, np.int64)
        self.bound, self.size = np.empty((2, BLOCK))
        self.open = np.empty(BLOCK, np.bool)


desk = cache(Desk)


def first_try(words: Words, out: Floats) -> tuple[Places, Places]:
    """Numbers from words of 64 random bits, as many: where they are open yet, in which layers."""
    bell, own, here = layers(), desk(), slice(len(words))
    layer, bound, size = own.layer[here], own.bound[here], own.size[here]
    np.bitwise_and(words, _LAYERS - 1, out=layer)
    # "clip": the other modes copy what they give once more.
    np.take(bell.steps, layer, out=bound, mode="clip")
    np.copyto(out, words)
    np.multiply(out, bound, out=out)
    np.take(bell.inner, layer, out=bound, mode="clip")
    np.abs(out, out=size)
    places = np.flatnonzero(np.greater_equal(size, bound, out=own.open[here]))
    return places, layer[places]


def decide(numbers: Floats, places: Places, layer: Places, uniform: Uniform) -> None:
    """Settles what the first try left open, in place; then all are standard normal."""
    if len(places):
        numbers[places] = _decided(numbers[places], layer, uniform)


def _decided(numbers: Floats, layer: Places, uniform: Uniform) -> Floats:
    """What becomes of numbers outside the box above theirs."""
    bell = layers()
    chance, radius, angle = uniform(3 * len(numbers)).reshape(3, -1)
    height = bell.lower[layer] + chance * (bell.upper[layer] - bell.lower[layer])
    under = height < np.exp(-0.5 * numbers * numbers)
    anew = np.sqrt(-2.0 * np.log1p(-radius)) * np.cos(2.0 * math.pi * angle)
    found = np.where(under, numbers, anew)
    if len(beyond := np.flatnonzero(layer == 0)):
        # By the tail's own distribution, of which nothing is thrown away.
        found[beyond] = np.copysign(_in_tail(1.0 - chance[beyond]), numbers[beyond])
    return found


def _in_tail(chance: Floats) -> Floats:
    """Normal numbers beyond the lowest edge: from 0, infinitely far, to 1, the edge itself."""
    found: Floats = torch.special.ndtri(torch.from_numpy(chance * layers().tail)).numpy()
    return found
