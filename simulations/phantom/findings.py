"""What is found inside the target organ: lesions, and what is easily taken for one."""

from __future__ import annotations

import numpy as np

from fedvox.simulations.phantom.canvas import Canvas, Shape
from fedvox.simulations.phantom.fields import Field


def paint_vessels(canvas: Canvas, organ: Field, hu: float, rng: np.random.Generator) -> None:
    """A few thin vessels through the organ, bright or dark with the contrast phase."""
    for _ in range(rng.integers(2, 5)):
        centre = _inside(canvas, organ, 2.5, rng)
        if centre is None:
            return
        length = rng.uniform(0.15, 0.35)
        lying = bool(rng.random() < 0.6)
        radii = (length, 0.05, 0.05) if lying else (0.05, 0.05, length)
        vessel = canvas.ellipsoid(centre, radii, rng.uniform(0, np.pi) if lying else 0)
        canvas.paint(_within(vessel, organ), hu)


def paint_distractors(
    canvas: Canvas, organ: Field, cysts: int, specks: int, rng: np.random.Generator
) -> None:
    """Cysts (round, sharp, even, near water) and calcifications (tiny, very bright)."""
    for _ in range(cysts):
        if centre := _inside(canvas, organ, 2.0, rng):
            radius = rng.uniform(1.6, 3.4) * 2 / canvas.side
            cyst = canvas.ellipsoid(centre, (radius, radius, radius))
            canvas.paint(_within(cyst, organ), rng.uniform(-4, 14))
    for _ in range(specks):
        if centre := _inside(canvas, organ, 1.0, rng):
            radius = rng.uniform(0.7, 1.2) * 2 / canvas.side
            canvas.paint(canvas.ellipsoid(centre, (radius,) * 3), rng.uniform(250, 700))


def paint_lesion(
    canvas: Canvas, organ: Field, radius_voxels: float, contrast: float, rng: np.random.Generator
) -> Field:
    """An uneven, rough-edged lesion; returns the share of each voxel that it fills."""
    cover = np.zeros_like(organ)
    centre = _inside(canvas, organ, min(2.5, radius_voxels * 0.6), rng)
    if centre is None:
        return cover
    radii = radius_voxels * 2 / canvas.side * rng.uniform(0.8, 1.25, 3)
    lesion = canvas.ellipsoid(centre, radii.tolist(), rng.uniform(0, np.pi), rough=0.07)
    lesion = _within(lesion, organ)
    around = canvas.hu[lesion.box]
    core = np.clip(lesion.depth / np.float32(radius_voxels), 0, 1)
    rim = rng.uniform(-0.4, 0.5)
    uneven = 1 + np.float32(rim) * (core - 0.5) + 0.25 * canvas.texture[lesion.box]
    around += lesion.cover * np.float32(contrast) * uneven
    cover[lesion.box] = lesion.cover
    return cover


def _within(shape: Shape, organ: Field) -> Shape:
    """The part of a shape that lies in the organ."""
    return Shape(shape.box, np.minimum(shape.depth, organ[shape.box]))


def _inside(
    canvas: Canvas, organ: Field, depth: float, rng: np.random.Generator
) -> tuple[float, float, float] | None:
    """A random place at least `depth` voxels below the organ's surface."""
    places = np.flatnonzero(organ > depth)
    if not places.size:
        return None
    return canvas.centre_of(np.unravel_index(places[rng.integers(places.size)], organ.shape))
