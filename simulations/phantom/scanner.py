"""From a body to the image a site's scanner makes of it."""

from __future__ import annotations

import numpy as np

from fedvox.simulations.phantom.character import Character
from fedvox.simulations.phantom.fields import Field, along_axes, blur, grain, slices, smooth_field

_SOFT_HU = 60.0
"""Soft tissue lies about here; the contrast curve turns around it."""


def scan(body: Field, scanner: Character, rng: np.random.Generator) -> Field:
    """The image in whole HU."""
    side = body.shape[0]
    plane = blur(side, scanner.psf)
    image = along_axes(body, plane, plane, slices(side, scanner.thickness))
    image = _contrast(image, scanner)
    image = image + _shading(side, scanner, rng) * (image + 1000)
    image = image + _noise(side, scanner, rng)
    whole: Field = np.rint(np.clip(image, -1024, 3071)).astype(np.float32)
    return whole


def _contrast(image: Field, scanner: Character) -> Field:
    away = image - np.float32(_SOFT_HU)
    bent = np.float32(scanner.bend * _SOFT_HU) * np.tanh(away / np.float32(_SOFT_HU))
    curved: Field = np.float32(_SOFT_HU) + np.float32(scanner.gain) * away + bent
    return curved


def _shading(side: int, scanner: Character, rng: np.random.Generator) -> Field:
    return np.float32(scanner.bias * rng.uniform(0.6, 1.2)) * smooth_field(rng, side, 4)


def _noise(side: int, scanner: Character, rng: np.random.Generator) -> Field:
    white = rng.standard_normal((side, side, side), dtype=np.float32)
    kernel = grain(side, scanner.noise_grain)
    through = grain(side, max(0.3, 0.3 * scanner.thickness))
    dose = scanner.noise_hu * rng.uniform(0.8, 1.25)
    return np.float32(dose) * along_axes(white, kernel, kernel, through)
