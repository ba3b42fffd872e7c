"""What one stretch of private steps spends."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Charge:
    """Steps of the Gaussian mechanism on Poisson samples of the patients."""

    sample_rate: float
    """Chance of each patient to be drawn in a step."""
    noise_multiplier: float
    """Deviation of the noise over the clipping norm."""
    steps: int
