"""Bodies: wall, bones, vessels and organs, one of them the target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedvox.simulations.phantom.canvas import Canvas, Shape
from fedvox.simulations.phantom.fields import Field, smooth_field

_MOTTLES = 14
"""Knots of diffuse unevenness along each axis."""


@dataclass(frozen=True)
class Enhancement:
    """HU of what takes up contrast agent."""

    artery: float
    vein: float
    organ: float
    spleen: float
    kidney: float


def enhancement(phase: float, rng: np.random.Generator) -> Enhancement:
    """Uptake at a contrast phase, varied from patient to patient."""
    dose = rng.uniform(0.85, 1.15)
    return Enhancement(
        artery=45 + dose * (240 - 110 * phase),
        vein=45 + dose * (25 + 105 * phase),
        organ=74 + dose * (15 + 45 * phase) + rng.normal(0, 5),
        spleen=52 + dose * (60 + 10 * phase) + rng.normal(0, 7),
        kidney=42 + dose * (110 + 50 * phase),
    )


def paint_trunk(canvas: Canvas, uptake: Enhancement, rng: np.random.Generator) -> None:
    """Skin to cavity: fat, muscle, ribs, spine and the great vessels."""
    wide, deep = rng.uniform(0.84, 0.95), rng.uniform(0.68, 0.78)
    fat = rng.uniform(0.05, 0.13)
    canvas.paint(canvas.ellipsoid((0, 0, 0), (wide, deep, 4), power=2.6), -102, texture=9)
    wide, deep = wide - fat, deep - fat
    wall = canvas.ellipsoid((0, 0, 0), (wide, deep, 4), power=2.5)
    canvas.paint(wall, 52, texture=7)
    _ribs(canvas, wall, rng)
    cavity = canvas.ellipsoid((0, 0.03, 0), (wide - 0.1, deep - 0.1, 4), power=2.4)
    bowel = -25 + 40 * np.tanh(1.5 * canvas.texture[cavity.box])
    canvas.paint(cavity, np.asarray(bowel, dtype=np.float32))
    _spine(canvas, deep, rng)
    for side, hu in ((-0.09, uptake.artery), (0.13, uptake.vein)):
        at = (side + rng.normal(0, 0.02), -deep + 0.4, 0)
        canvas.paint(canvas.ellipsoid(at, (0.075, 0.075, 4)), hu)


def _ribs(canvas: Canvas, wall: Shape, rng: np.random.Generator) -> None:
    slope, start = rng.uniform(0.5, 0.9), rng.uniform(0, 6.28)
    height = canvas.axis(2, wall.box) + np.float32(slope) * canvas.axis(1, wall.box)
    band = np.clip(np.sin(15 * height + np.float32(start)) * 3 - 1, 0, 1)
    shell = np.clip(1.6 - np.abs(wall.depth - 1.3), 0, 1)
    under = canvas.hu[wall.box]
    under += band * shell * (np.float32(rng.uniform(300, 480)) - under)


def _spine(canvas: Canvas, deep: float, rng: np.random.Generator) -> None:
    behind = -deep + 0.2
    body = canvas.ellipsoid((0, behind, 0), (0.17, 0.15, 4), power=2.3)
    height = canvas.axis(2, body.box) * np.float32(11) + np.float32(rng.uniform(0, 6.28))
    bone = np.clip(np.sin(height) * 4 + 3, 0, 1)
    density = rng.uniform(120, 240)
    marrow = np.clip(body.depth / 2, 0, 1)
    canvas.paint(body, 75 + bone * np.asarray(density + 260 * (1 - marrow), dtype=np.float32))
    canvas.paint(canvas.ellipsoid((0, behind - 0.17, 0), (0.06, 0.05, 4)), 25)
    canvas.paint(canvas.ellipsoid((0, behind - 0.3, 0), (0.05, 0.12, 4)), 420)


def paint_neighbours(canvas: Canvas, uptake: Enhancement, rng: np.random.Generator) -> None:
    """Organs that are not the target; the spleen looks much like it."""

    def near(x: float, y: float, z: float) -> tuple[float, float, float]:
        dx, dy, dz = rng.normal(0, 0.035, 3)
        return x + dx, y + dy, z + dz

    size = rng.uniform(0.8, 1.2)
    spleen = canvas.ellipsoid(
        near(-0.55, -0.18, 0.25), (0.17 * size, 0.27 * size, 0.38 * size), rng.normal(0.3, 0.15)
    )
    canvas.paint(spleen, uptake.spleen, texture=5)
    for side in (-0.4, 0.42):
        centre, turn = near(side, -0.33, -0.45), np.sign(side) * rng.uniform(0.2, 0.5)
        canvas.paint(canvas.ellipsoid(centre, (0.14, 0.19, 0.32), turn), uptake.kidney, texture=6)
        hilum = (centre[0] - np.sign(side) * 0.08, centre[1] + 0.02, centre[2])
        canvas.paint(canvas.ellipsoid(hilum, (0.07, 0.06, 0.12)), -60)
    stomach = canvas.ellipsoid(
        near(-0.36, 0.26, 0.1), (0.26 * size, 0.18, rng.uniform(0.3, 0.45)), rng.normal(0, 0.3)
    )
    filled = np.clip((canvas.axis(1, stomach.box) - rng.uniform(0.22, 0.5)) * 20, 0, 1)
    content = np.float32(rng.uniform(15, 90)) * (1 - filled) - 850 * filled
    wall = np.clip(stomach.depth - 0.4, 0, 1)
    canvas.paint(stomach, np.asarray(48 + wall * (content - 48), dtype=np.float32))


def paint_organ(
    canvas: Canvas, scale: float, hu: float, texture: float, mottle: float, rng: np.random.Generator
) -> Field:
    """The target organ, two lobes; returns its depth in voxels over the whole cube."""
    size = scale * rng.uniform(0.88, 1.1)
    drift = rng.normal(0, 0.03, 3)
    right = canvas.ellipsoid(
        (0.4 + drift[0], 0.05 + drift[1], 0.12 + drift[2]),
        (0.36 * size, 0.44 * size, 0.55 * size * rng.uniform(0.9, 1.12)),
        rng.normal(0.1, 0.12), power=2.3,
    )  # fmt: skip
    left = canvas.ellipsoid(
        (0.08 + drift[0], 0.28 + drift[1], 0.28 + drift[2]),
        (0.42 * size * rng.uniform(0.75, 1.2), 0.2 * size, 0.3 * size),
        rng.normal(-0.15, 0.15),
    )  # fmt: skip
    depth = np.full_like(canvas.hu, -8)
    for lobe in (right, left):
        np.maximum(depth[lobe.box], lobe.depth, out=depth[lobe.box])
    whole = Shape((slice(None),) * 3, depth)
    uneven = smooth_field(rng, canvas.side, _MOTTLES) * np.float32(mottle) if mottle else 0
    canvas.paint(whole, hu + uneven, texture=texture)
    return depth
