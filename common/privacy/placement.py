"""Where the noise is added: all of it at each site, or a share at each of several.

Shares protect a site only in what nobody sees but as a sum. A site that takes several steps before
it is summed goes on from where its own share alone has hidden the patient, and the steps that
follow can carry that any distance: so shares count where every step is summed, and else each site
adds all of the noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedvox.common.errors import InputError


@dataclass(frozen=True)
class PlacedNoise:
    """What a site adds to a step, and what it is charged for."""

    added: float
    """Noise multiplier of what the site itself adds."""
    charged: float
    """Noise multiplier that protects its patients in a sum of enough sites."""
    honest_sites: int
    """Sites, this one among them, assumed to add their share; 1: it relies on nobody."""

    def charged_in(self, sites: int) -> float:
        """The noise multiplier to charge where the sum held so many sites.

        With fewer than assumed honest, the site can count on its own share only.
        """
        if sites < 1:
            raise InputError(f"a sum of {sites} sites: a site that was charged is in it itself")
        return self.charged if sites >= self.honest_sites else self.added


def place_locally(noise_multiplier: float) -> PlacedNoise:
    """Each site adds all of the noise and relies on nobody."""
    return PlacedNoise(noise_multiplier, noise_multiplier, 1)


def place_distributed(
    noise_multiplier: float, honest_sites: int, steps_per_sum: int = 1
) -> PlacedNoise:
    """Each site adds its share of the noise, where every single step is summed."""
    if honest_sites < 1:
        raise InputError(
            f"privacy.honest_sites {honest_sites}: a site is at least honest to itself; "
            "give 1 or more"
        )
    if steps_per_sum > 1:
        return place_locally(noise_multiplier)
    share = noise_multiplier / math.sqrt(honest_sites)
    return PlacedNoise(share, noise_multiplier, honest_sites)
