"""Randomness that protects patients: nobody may be able to guess it or to draw it again.

A keystream of AES-256. In a hospital its key comes from the operating system and is forgotten; in
a simulation it follows from the study's seed, and then the noise protects nobody.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import Self

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from torch import Tensor

from fedvox.client.training.private.ziggurat import (
    BLOCK,
    Floats,
    Places,
    Words,
    decide,
    desk,
    first_try,
)

_UNIT = 2.0**-53
_KEY_BYTES = 32
_ZEROS = memoryview(bytes(8 * BLOCK))


class Noise:
    """A stream of random numbers. For one thread."""

    def __init__(self, key: bytes) -> None:
        self._stream: CipherContext = Cipher(AES(key), CTR(bytes(16))).encryptor()

    def __reduce__(self) -> str:
        raise TypeError("noise is never written down: who has its key can take it away again")

    def branch(self) -> Self:
        """A stream of its own, for another thread; its key is drawn from this one."""
        return type(self)(self._stream.update(bytes(_KEY_BYTES)))

    def uniform(self, count: int) -> Floats:
        """Numbers in [0, 1), of 53 random bits each."""
        out = np.empty(count)
        for first, words in self._drawn(count):
            # A double holds no more than 53 of the 64 bits.
            block = words.view(np.uint64) >> np.uint64(11)
            np.multiply(block, _UNIT, out=out[first : first + len(words)])
        return out

    def gaussian(self, count: int) -> Tensor:
        """[count] standard normal numbers in double precision."""
        out = np.empty(count)
        places: list[Places] = []
        layers: list[Places] = []
        for first, words in self._drawn(count):
            open_at, layer = first_try(words, out[first : first + len(words)])
            places.append(open_at + first)
            layers.append(layer)
        if count:
            decide(out, np.concatenate(places), np.concatenate(layers), self.uniform)
        return torch.from_numpy(out)

    def _drawn(self, count: int) -> Iterator[tuple[int, Words]]:
        """The next words of the stream, block by block, each in the room of the one before."""
        room = desk().words
        for first in range(0, count, BLOCK):
            size = 8 * min(BLOCK, count - first)
            self._stream.update_into(_ZEROS[:size], room)
            yield first, np.frombuffer(room, dtype=np.int64, count=size // 8)


NoiseFor = Callable[[str, int, str], Noise]
"""(study's hash, round, hash of the weights) -> the noise of that piece of work."""


def system_noise(study_sha256: str, round_number: int, weights_sha256: str) -> Noise:
    """Noise that nobody can draw again, whatever the work is."""
    return Noise(os.urandom(_KEY_BYTES))


def seeded_noise(seed: int, site: str) -> NoiseFor:
    """The same noise for the same work: for simulations, where it protects nobody."""

    def noise_for(study_sha256: str, round_number: int, weights_sha256: str) -> Noise:
        parts = (str(seed), site, study_sha256, str(round_number), weights_sha256)
        return Noise(hashlib.sha256("\0".join(parts).encode()).digest())

    return noise_for
