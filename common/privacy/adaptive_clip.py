"""Adaptive clipping (Andrew et al. 2021): the clipping norm follows a quantile of the norms.

Each step also releases, with noise of its own, how many patients' gradients were left unclipped.
Each patient counts +1/2 or -1/2, so that a patient more or less moves the count by one half only.
Gradient and count together cost what one Gaussian mechanism with the total multiplier costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedvox.common.errors import InputError, NotFiniteError

RATE = 0.2
"""Step of the geometric update, as in the paper."""


@dataclass(frozen=True)
class NoiseSplit:
    """How the total noise of a step is shared out."""

    gradient: float
    """Noise multiplier of the gradients: deviation over clip_norm."""
    count: float
    """Deviation of the noise on the count of halves."""


def count_noise_for(patients_per_step: float) -> float:
    """The paper's choice: a twentieth of the patients of a step; hardly costs the gradients."""
    return max(patients_per_step / 20, 1.0)


def split_noise(noise_multiplier: float, count_noise: float) -> NoiseSplit:
    """The noise of gradient and count that together cost what `noise_multiplier` alone costs."""
    if noise_multiplier == 0:
        return NoiseSplit(0.0, count_noise)
    if not 0 < noise_multiplier < 2 * count_noise:
        raise InputError(
            f"count noise {count_noise:g} alone costs more than noise_multiplier "
            f"{noise_multiplier:g} allows; it must be more than {noise_multiplier / 2:g}: give the "
            "count more noise, or set privacy.adaptive_clip = false"
        )
    gradient = (noise_multiplier**-2 - (2 * count_noise) ** -2) ** -0.5
    return NoiseSplit(gradient, count_noise)


def noisy_share(halves: float, noise: float, patients_per_step: float) -> float:
    """The share left unclipped, from the sum of +1/2 and -1/2 and the noise drawn for it."""
    return (halves + noise) / patients_per_step + 0.5


def split_of_step(noise_multiplier: float, patients_per_step: float) -> NoiseSplit:
    """How a step of so many patients on average shares out the noise that is charged for it."""
    # A count less noisy than the whole step would leave nothing for the gradients.
    count_noise = max(count_noise_for(patients_per_step), noise_multiplier)
    return split_noise(noise_multiplier, count_noise)


def next_clip_norm(clip_norm: float, share: float, quantile: float, rate: float = RATE) -> float:
    """The clipping norm moved towards the one that leaves `quantile` of the patients unclipped."""
    if not math.isfinite(share):
        raise NotFiniteError(
            f"the share of unclipped patients became {share}; no clip norm follows"
        )
    # The noise may put the share far outside 0 to 1; one step must not throw the norm away.
    return clip_norm * math.exp(-rate * (min(max(share, 0.0), 1.0) - quantile))
