"""What makes one site's images unlike another's: its scanner and the patients it sees."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

_BLOCK = 4
"""Sites are spread out in blocks of so many: each takes another quarter of every range."""


@dataclass(frozen=True)
class Character:
    """A site: how its scanner renders a body, and what its patients have."""

    gain: float
    """Slope of the contrast curve."""
    bend: float
    """How much steeper (or flatter) the curve is among soft tissues."""
    noise_hu: float
    """Deviation of the noise."""
    noise_grain: float
    """Correlation of the noise in voxels: a smooth kernel has coarse grain."""
    psf: float
    """In-plane blur, deviation in voxels."""
    thickness: float
    """Slice thickness in voxels."""
    bias: float
    """Relative strength of the shading."""
    zoom: float
    """Field of view: above one the body looks larger."""
    shift: float
    """How far the body lies off the centre, front to back, in half fields of view."""
    phase: float
    """Contrast phase: 0 arterial, 1 portal venous."""
    lesion_rate: float
    """Mean number of lesions in a patient."""
    lesion_radius: float
    """Typical radius in voxels."""
    bright: float
    """Share of patients whose lesions are brighter than the organ."""
    cyst_rate: float
    """Mean number of cysts, which are not lesions."""
    organ_scale: float
    """Size of the target organ."""
    nodules: float
    """Weight of the class nodule among the site's patients."""
    diffuse: float
    """Weight of the class diffuse."""


_RANGES: dict[str, tuple[float, float, float, float]] = {
    # centre, half range at heterogeneity 1, and the limits that hold at any heterogeneity
    "gain": (1.0, 0.15, 0.6, 1.5),
    "bend": (0.0, 0.35, -0.6, 1.5),
    "noise_hu": (8.0, 5.0, 2.0, 20.0),
    "noise_grain": (0.75, 0.4, 0.3, 1.6),
    "psf": (0.5, 0.25, 0.25, 1.0),
    "thickness": (1.5, 1.0, 1.0, 4.0),
    "bias": (0.03, 0.03, 0.0, 0.09),
    "zoom": (1.04, 0.09, 0.85, 1.2),
    "shift": (0.0, 0.1, -0.2, 0.2),
    "phase": (0.5, 0.5, 0.0, 1.0),
    "lesion_rate": (1.7, 0.7, 0.4, 3.5),
    "lesion_radius": (4.7, 0.7, 3.0, 6.2),
    "bright": (0.5, 1.2, 0.04, 0.96),
    "cyst_rate": (0.6, 0.6, 0.0, 2.5),
    "organ_scale": (1.0, 0.08, 0.8, 1.15),
    "nodules": (1.0, 0.6, 0.2, 2.2),
    "diffuse": (1.0, 0.6, 0.2, 2.2),
}


def character(seed: int, site: int, heterogeneity: float) -> Character:
    """The character of site number `site`; it depends on no other site."""
    block, place = divmod(site, _BLOCK)
    rng = np.random.default_rng([seed, 0, block])
    names = [field.name for field in fields(Character)]
    ranks = np.stack([rng.permutation(_BLOCK) for _ in names])
    within = rng.random((len(names), _BLOCK))
    # Away from the borders of the quarters, so that two sites are never twins by chance.
    spread = ((ranks + 0.25 + 0.5 * within) / _BLOCK * 2 - 1)[:, place]
    return Character(
        **{name: _value(name, heterogeneity * at) for name, at in zip(names, spread, strict=True)}
    )


def _value(name: str, away: float) -> float:
    centre, half_range, low, high = _RANGES[name]
    return round(float(np.clip(centre + half_range * away, low, high)), 3)
