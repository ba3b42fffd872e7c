"""Randomness that protects patients: nobody may be able to guess it or to draw it again.

A keystream of ChaCha20. In a hospital its key comes from the operating system and is forgotten;
in a simulation it follows from the study's seed, and then the noise protects nobody.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

_UNIT = 2.0**-53
_BLOCK = 1 << 16
"""Words drawn at once: what fits into a processor's cache is filled and used up there."""

Floats = npt.NDArray[np.float64]


class Noise:
    """A stream of random numbers. For one thread."""

    def __init__(self, key: bytes) -> None:
        self._stream: CipherContext = Cipher(ChaCha20(key, bytes(16)), None).encryptor()

    def __reduce__(self) -> str:
        raise TypeError("noise is never written down: who has its key can take it away again")

    def uniform(self, count: int) -> Floats:
        """Numbers in [0, 1), of 53 random bits each."""
        numbers: Floats = (self._words(count) >> np.uint64(11)) * np.float64(_UNIT)
        return numbers

    def gaussian(self, count: int) -> Floats:
        """Standard normal numbers, by Box and Muller."""
        out = np.empty(count + count % 2)
        for first in range(0, len(out), 2 * _BLOCK):
            block = out[first : first + 2 * _BLOCK]
            half = len(block) // 2
            radius = np.sqrt(-2.0 * np.log1p(-self.uniform(half)))
            angle = 2.0 * np.pi * self.uniform(half)
            np.multiply(radius, np.cos(angle), out=block[:half])
            np.multiply(radius, np.sin(angle), out=block[half:])
        return out[:count]

    def _words(self, count: int) -> npt.NDArray[np.uint64]:
        return np.frombuffer(self._stream.update(bytes(8 * count)), dtype="<u8")


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
