"""One phantom patient: drawn from a site's character, imaged by its scanner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedvox.simulations.phantom.anatomy import (
    enhancement,
    paint_neighbours,
    paint_organ,
    paint_trunk,
)
from fedvox.simulations.phantom.canvas import Canvas
from fedvox.simulations.phantom.character import Character
from fedvox.simulations.phantom.fields import Field
from fedvox.simulations.phantom.findings import paint_distractors, paint_lesion, paint_vessels
from fedvox.simulations.phantom.scanner import scan

FOREGROUND = ("background", "organ", "lesion")
CLASSES = ("normal", "nodule", "diffuse")
SIDE = 40
"""Voxels along each axis."""
SPACING_MM = 6.0


@dataclass(frozen=True)
class Phantom:
    """A body as its site sees it."""

    image: Field
    """HU, [right, front, up]."""
    label: npt.NDArray[np.int32]
    """0 background, 1 organ, 2 lesion."""


@dataclass(frozen=True)
class _Findings:
    lesions: int
    radius: float
    cysts: int
    specks: int
    texture: float
    mottle: float
    """Coarse unevenness of the organ in HU: diffuse disease."""


def phantom(site: Character, rng: np.random.Generator, disease: str = "") -> Phantom:
    """A patient of a site; with a disease of CLASSES the findings are those of the disease."""
    found = _findings(site, disease, rng)
    zoom = site.zoom * rng.uniform(0.95, 1.05)
    shift = (rng.normal(0, 0.03), site.shift + rng.normal(0, 0.03), rng.normal(0, 0.05))
    canvas = Canvas(SIDE, zoom, shift, rng)
    uptake = enhancement(float(np.clip(site.phase + rng.normal(0, 0.12), 0, 1)), rng)
    paint_trunk(canvas, uptake, rng)
    paint_neighbours(canvas, uptake, rng)
    organ = paint_organ(canvas, site.organ_scale, uptake.organ, found.texture, found.mottle, rng)
    paint_vessels(canvas, organ, uptake.vein, rng)
    lesions = _paint_lesions(canvas, organ, found, site, rng)
    free = np.where(lesions > 0.1, np.float32(-8), organ)
    paint_distractors(canvas, free, found.cysts, found.specks, rng)
    label = (organ > 0).astype(np.int32)
    label[lesions > 0.5] = 2
    return Phantom(scan(canvas.hu, site, rng), label)


def disease_of(site: Character, rng: np.random.Generator) -> str:
    """One of CLASSES, as common as it is at the site."""
    weights = np.array([1.0, site.nodules, site.diffuse])
    return CLASSES[int(rng.choice(len(CLASSES), p=weights / weights.sum()))]


def _findings(site: Character, disease: str, rng: np.random.Generator) -> _Findings:
    lesions, radius = int(rng.poisson(site.lesion_rate)), site.lesion_radius
    texture, mottle = rng.uniform(3, 8), 0.0
    cysts, specks = int(rng.poisson(site.cyst_rate)), int(rng.poisson(0.5))
    if disease:
        lesions = int(rng.integers(2, 4)) if disease == "nodule" else 0
        radius, cysts = 1.15 * radius, min(cysts, 1)
    if disease == "diffuse":
        mottle = rng.uniform(25, 40)
    return _Findings(min(lesions, 6), radius, min(cysts, 4), min(specks, 3), texture, mottle)


def _paint_lesions(
    canvas: Canvas, organ: Field, found: _Findings, site: Character, rng: np.random.Generator
) -> Field:
    """The lesions of one patient are all brighter or all darker than the organ."""
    bright = bool(rng.random() < site.bright)
    cover = np.zeros_like(organ)
    for _ in range(found.lesions):
        contrast = rng.uniform(65, 125) if bright else -rng.uniform(50, 78)
        radius = float(np.clip(found.radius * rng.lognormal(0, 0.22), 2.4, 7.0))
        np.maximum(cover, paint_lesion(canvas, organ, radius, contrast, rng), out=cover)
    return cover
