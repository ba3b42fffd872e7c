"""Randomness that protects patients: nobody may be able to guess it or to draw it again.

A keystream of AES-256. In a hospital its key comes from the operating system and is forgotten; in
a simulation it follows from the study's seed, and then the noise protects nobody.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from torch import Tensor

from fedvox.client.training.private.ziggurat import decide, first_try

_UNIT = 2.0**-53
_KEY_WORDS = 4
BLOCK = 1 << 15
"""Numbers drawn at once: they fit into a processor's cache, and torch does not yet share out work
on so few. Threads would wait for each other ten times a block, and long where a core is busy."""

_ZEROS = memoryview(bytes(8 * BLOCK))

Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]


class Noise:
    """A stream of random numbers. For one thread."""

    def __init__(self, key: bytes) -> None:
        self._stream: CipherContext = Cipher(AES(key), CTR(bytes(16))).encryptor()
        # The cipher wants room for one of its own blocks more than it writes.
        self._words = np.empty(8 * BLOCK + 15, np.uint8)

    def __reduce__(self) -> str:
        raise TypeError("noise is never written down: who has its key can take it away again")

    def branch(self) -> Self:
        """A stream of its own, for another thread; its key is drawn from this one."""
        return type(self)(self._drawn(_KEY_WORDS)[: 8 * _KEY_WORDS].tobytes())

    def uniform(self, count: int) -> Floats:
        """Numbers in [0, 1), of 53 random bits each."""
        out = np.empty(count)
        for first in range(0, count, BLOCK):
            block = out[first : first + BLOCK]
            words = np.frombuffer(self._drawn(len(block)), dtype=np.uint64, count=len(block))
            # A double holds no more than 53 of the 64 bits.
            np.multiply(words >> np.uint64(11), _UNIT, out=block)
        return out

    def gaussian(self, count: int) -> Tensor:
        """[count] standard normal numbers in double precision."""
        out = torch.empty(count, dtype=torch.float64)
        places, layers = [], []
        for first in range(0, count, BLOCK):
            block = out[first : first + BLOCK]
            words = torch.frombuffer(self._drawn(len(block)), dtype=torch.int64, count=len(block))
            open_at, layer = first_try(words, block)
            places.append(open_at + first)
            layers.append(layer)
        if count:
            decide(out.numpy(), np.concatenate(places), np.concatenate(layers), self.uniform)
        return out

    def _drawn(self, count: int) -> Bytes:
        """The next words of the stream; they stand there until more are drawn."""
        self._stream.update_into(_ZEROS[: 8 * count], self._words)
        return self._words


NoiseFor = Callable[[str, int, str], Noise]
"""(study's hash, round, hash of the weights) -> the noise of that piece of work."""


def system_noise(study_sha256: str, round_number: int, weights_sha256: str) -> Noise:
    """Noise that nobody can draw again, whatever the work is."""
    return Noise(os.urandom(32))


def seeded_noise(seed: int, site: str) -> NoiseFor:
    """The same noise for the same work: for simulations, where it protects nobody."""

    def noise_for(study_sha256: str, round_number: int, weights_sha256: str) -> Noise:
        parts = (str(seed), site, study_sha256, str(round_number), weights_sha256)
        return Noise(hashlib.sha256("\0".join(parts).encode()).digest())

    return noise_for
