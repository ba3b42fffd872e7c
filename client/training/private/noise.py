"""Randomness that protects patients: nobody may be able to guess it or to draw it again.

A keystream of AES-256. In a hospital its key comes from the operating system and is forgotten; in
a simulation it follows from the study's seed, and then the noise protects nobody.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from torch import Tensor

_UNIT = 2.0**-53
_BLOCK = 1 << 17
"""Words drawn at once: what fits into a processor's cache is filled and used up there."""

Floats = npt.NDArray[np.float64]


class Noise:
    """A stream of random numbers. For one thread."""

    def __init__(self, key: bytes) -> None:
        self._stream: CipherContext = Cipher(AES(key), CTR(bytes(16))).encryptor()
        self._zeros = bytes(8 * _BLOCK)
        # The cipher wants room for one of its own blocks more than it writes.
        self._words = bytearray(8 * _BLOCK + 15)

    def __reduce__(self) -> str:
        raise TypeError("noise is never written down: who has its key can take it away again")

    def uniform(self, count: int) -> Floats:
        """Numbers in [0, 1), of 53 random bits each."""
        out = torch.empty(count, dtype=torch.float64)
        for first in range(0, count, _BLOCK):
            block = out[first : first + _BLOCK]
            block.copy_(self._unit(len(block)))
        return out.numpy()

    def gaussian(self, count: int) -> Tensor:
        """[count] standard normal numbers in double precision, by Box and Muller."""
        out = torch.empty(count + count % 2, dtype=torch.float64)
        for first in range(0, len(out), 2 * _BLOCK):
            block = out[first : first + 2 * _BLOCK]
            half = len(block) // 2
            radius = self._unit(half).neg_().log1p_().mul_(-2.0).sqrt_()
            angle = self._unit(half).mul_(2.0 * math.pi)
            torch.mul(radius, angle.cos(), out=block[:half])
            torch.mul(radius, angle.sin_(), out=block[half:])
        return out[:count]

    def _unit(self, count: int) -> Tensor:
        self._stream.update_into(memoryview(self._zeros)[: 8 * count], self._words)
        words = torch.frombuffer(self._words, dtype=torch.int64, count=count)
        # Without its sign bit and the ten bits that a double cannot hold.
        return ((words >> 10) & ((1 << 53) - 1)).double().mul_(_UNIT)


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
