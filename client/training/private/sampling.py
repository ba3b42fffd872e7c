"""Who takes part in a private step: every patient with the same chance, each for itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fedvox.client.training.private.noise import Noise


def poisson_draw(patients: int, sample_rate: float, noise: Noise) -> list[int]:
    """The patients of one step; it may be none."""
    return np.flatnonzero(noise.uniform(patients) < sample_rate).tolist()


def in_portions(drawn: Sequence[int], sizes: Sequence[int], limit: int) -> Iterator[list[int]]:
    """The drawn patients in portions of at most `limit` samples, one patient at least.

    `sizes` are the samples of every patient. What a step adds up to does not depend on it.
    """
    portion: list[int] = []
    samples = 0
    for patient in drawn:
        if portion and samples + sizes[patient] > limit:
            yield portion
            portion, samples = [], 0
        portion.append(patient)
        samples += sizes[patient]
    if portion:
        yield portion
