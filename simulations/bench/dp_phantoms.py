"""Crops of T1-weighted heads drawn by rule, with a hippocampus of two parts in the middle.

From what a textbook of anatomy says, and from nobody's images: an arched body some 35 to 40 mm
long, its head in front and below, thicker; white matter about it, the horn of the ventricle beside
it, a fissure and a cistern on its inner side, cortex below, and before it the amygdala, which is of
the same grey. All of it varies more than it does in people, and so do the tones.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedvox.simulations.phantom.fields import Field, along_axes, blur, smooth_block

FRONT, BACK = 1, 2
"""Class of the head, and of body and tail."""
_BEADS = 20
"""Ellipsoids of which the body is strung, from tail to head."""

Doubles = npt.NDArray[np.float64]
Label = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


def write_phantoms(folder: Path, count: int, seed: int) -> None:
    """An MSD folder of so many phantoms."""
    import nibabel

    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    listed = []
    for number in range(count):
        image, label = phantom(np.random.default_rng([seed, number]))
        name = f"drawn_{number:04d}.nii.gz"
        for part, voxels in (("imagesTr", image), ("labelsTr", label)):
            nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / part / name)
        listed.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    told = {
        "name": "drawn",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", str(FRONT): "Anterior", str(BACK): "Posterior"},
        "training": listed,
    }
    (folder / "dataset.json").write_text(json.dumps(told))


def phantom(rng: np.random.Generator) -> tuple[Field, Label]:
    """One crop of 1 mm voxels, to the right, to the front and upwards; and its classes."""
    shape = tuple(int(edge) for edge in rng.integers((30, 44, 28), (41, 58, 46)))
    space = _Space.drawn(rng, (shape[0], shape[1], shape[2]))
    body = _Body.drawn(rng, space)
    tones = _Tones.drawn(rng)
    image = _surroundings(rng, space, tones)
    image = _neighbours(rng, space, body, tones, image)
    inside = tones.body + 0.03 * space.mottle
    image = np.where(body.near < 1, inside, image)
    return _imaged(rng, image), body.label(rng, space)


@dataclass(frozen=True)
class _Space:
    """Coordinates in mm from the middle, bent: outwards, to the front, upwards."""

    out: Field
    front: Field
    up: Field
    mottle: Field
    """Unevenness that tissues share."""

    @classmethod
    def drawn(cls, rng: np.random.Generator, shape: tuple[int, int, int]) -> _Space:
        lines = [np.arange(edge, dtype=np.float32) - np.float32(edge - 1) / 2 for edge in shape]
        straight = np.meshgrid(*lines, indexing="ij")
        bend, side = np.float32(rng.uniform(0.3, 1.3)), np.float32(rng.choice([-1, 1]))
        out, front, up = (axis + bend * _uneven(rng, shape, 11) for axis in straight)
        return cls(side * out, front, up, _uneven(rng, shape, 8))

    @property
    def shape(self) -> tuple[int, int, int]:
        first, second, third = self.up.shape
        return first, second, third


@dataclass(frozen=True)
class _Body:
    """The hippocampus."""

    out: Doubles
    """[beads] Its middle line, from tail to head."""
    front: Doubles
    up: Doubles
    near: Field
    """Distance from the middle line over that of the surface: below one inside."""
    along: Field
    """Where the nearest bead lies: 0 at the tail, 1 at the head."""

    @classmethod
    def drawn(cls, rng: np.random.Generator, space: _Space) -> _Body:
        t = np.linspace(0, 1, _BEADS)
        drift = rng.normal(0, 1.2, 3)
        out = (
            drift[0]
            + rng.uniform(1, 4) * np.sin(np.pi * t * rng.uniform(0.9, 1.2))
            - rng.uniform(1.5, 7.5) * (1 - t) ** 2
            - rng.uniform(0, 3) * t**4
        )
        front = drift[1] + rng.uniform(32, 43) * (t - 0.5)
        arch = 4 * t * (1 - t) - 0.6
        up = drift[2] + rng.uniform(4, 12) * (0.5 - t) + rng.uniform(0, 5) * arch
        near, along = _beads(space, (out, front, up), *_radii(rng, t))
        return cls(out, front, up, near, along)

    def at(self, place: float) -> tuple[float, float, float]:
        """A point of the middle line."""
        bead = place * (_BEADS - 1)
        lines = (self.out, self.front, self.up)
        out, front, up = (float(np.interp(bead, np.arange(_BEADS), line)) for line in lines)
        return out, front, up

    def beside(self, space: _Space) -> tuple[Doubles, Doubles]:
        """How far every voxel lies outwards and upwards of the middle line."""
        place = np.rint(self.along * (_BEADS - 1)).astype(np.intp)
        return space.out - self.out[place], space.up - self.up[place]

    def label(self, rng: np.random.Generator, space: _Space) -> Label:
        """Parted by a plane across, nearly upright."""
        border = self.at(rng.uniform(0.48, 0.58))[1]
        before = space.front + rng.normal(0, 0.15) * space.up > border
        return np.where(self.near < 1, np.where(before, FRONT, BACK), 0).astype(np.uint8)


def _radii(rng: np.random.Generator, t: Doubles) -> tuple[Doubles, Doubles]:
    """[beads] Half the width and half the height, in mm."""
    size = rng.uniform(0.85, 1.18)
    head = 1 / (1 + np.exp((rng.uniform(0.5, 0.68) - t) / 0.06))
    belly = np.sin(np.pi * np.clip(t, 0, 0.6) / 1.2)
    wide = rng.uniform(3.6, 5.0) + 1.4 * belly + rng.uniform(0.2, 1.8) * head
    high = rng.uniform(3.0, 4.2) + 1.0 * belly + rng.uniform(0.2, 1.2) * head
    return size * wide, size * high


def _beads(
    space: _Space,
    lines: tuple[Doubles, ...],
    wide: Doubles,
    high: Doubles,
) -> tuple[Field, Field]:
    nearest: Field = np.full(space.shape, np.inf, np.float32)
    along: Field = np.zeros(space.shape, np.float32)
    for bead, (out, front, up) in enumerate(zip(*lines, strict=True)):
        radii = (wide[bead], 1.6 + 0.5 * min(wide[bead], high[bead]), high[bead])
        squared = _ellipsoid(space, (out, front, up), radii)
        closer = squared < nearest
        nearest[closer] = squared[closer]
        along[closer] = bead / (_BEADS - 1)
    return np.sqrt(nearest, out=nearest), along


def _ellipsoid(space: _Space, centre: tuple[float, float, float], radii: npt.ArrayLike) -> Field:
    """Squared distance from the centre, 1 on the surface."""
    squared = np.zeros(space.shape, np.float32)
    axes = (space.out, space.front, space.up)
    for axis, middle, radius in zip(axes, centre, np.asarray(radii, np.float32), strict=True):
        squared += ((axis - np.float32(middle)) / radius) ** 2
    return squared


@dataclass(frozen=True)
class _Tones:
    dark: float
    grey: float
    bright: float
    body: float

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> _Tones:
        """As in T1-weighted images; in one of five, anything."""
        dark, grey, bright = rng.uniform((0.05, 0.48, 0.85), (0.35, 0.66, 1.1))
        if rng.random() < 0.2:
            dark, grey, bright = rng.uniform(0, 1.1, 3)
        return cls(dark, grey, bright, grey + rng.normal(0, 0.05))


def _surroundings(rng: np.random.Generator, space: _Space, tones: _Tones) -> Field:
    """Folds: white matter, cortex about clefts; and a cistern on the inner side."""
    fold = _uneven(rng, space.shape, rng.uniform(6, 10))
    middle, half = rng.uniform(0.3, 0.8), rng.uniform(0.25, 0.5)
    cleft = tones.dark + rng.uniform(0, 0.15)
    image = np.where(fold > middle - half, tones.grey, tones.bright)
    image = np.where(fold > middle + half, cleft, image) + 0.05 * space.mottle
    cistern = space.out < rng.normal(0, 1.2) - rng.uniform(9, 13) + 1.5 * space.mottle
    tone = tones.dark if rng.random() < 0.7 else tones.grey
    return np.where(cistern, tone, image).astype(np.float32)


def _neighbours(
    rng: np.random.Generator, space: _Space, body: _Body, tones: _Tones, image: Field
) -> Field:
    """What lies against the body; each of them is missing now and then."""
    near, (out, up) = body.near, body.beside(space)

    def paint(chance: float, where: Mask, tone: float) -> None:
        if rng.random() < chance:
            image[where] = tone

    white = (near < rng.uniform(1.25, 1.6)) & (space.mottle > rng.uniform(-0.8, 0.3))
    paint(1.0, white, tones.bright - rng.uniform(0, 0.08))
    below = (near > 1.35) & (near < rng.uniform(1.7, 2.2)) & (up < -2)
    paint(0.7, below, tones.grey + rng.normal(0, 0.04))
    head = np.add(body.at(0.9), (rng.normal(0, 2), rng.uniform(2, 8), rng.uniform(6, 11)))
    amygdala = _ellipsoid(space, (head[0], head[1], head[2]), rng.uniform(5, 9, 3)) < 1
    paint(0.9, amygdala, tones.grey + rng.normal(0.03, 0.05))
    touching = (near >= 1) & (near < rng.uniform(1.15, 1.5))
    horn = touching & (out > rng.uniform(-2, 3)) & (up > -rng.uniform(0, 3))
    paint(0.85, horn, tones.dark + rng.uniform(0, 0.2))
    fissure = touching & (out < -1) & (up > rng.uniform(-1, 2))
    paint(0.6, fissure, tones.dark + rng.uniform(0, 0.3))
    paint(0.6, (near >= 1) & (near < 1.12) & ~horn, tones.bright)
    return image


def _imaged(rng: np.random.Generator, image: Field) -> Field:
    """Texture, blur, shading, noise and now and then another contrast."""
    texture = _blurred(rng.standard_normal(image.shape), 0.8)
    image = image + rng.uniform(0, 0.06) * texture / texture.std()
    image = _blurred(image, rng.uniform(0.45, 0.9))
    shape = (image.shape[0], image.shape[1], image.shape[2])
    shade = np.exp(rng.uniform(0, 0.2) * smooth_block(rng, shape, (5, 5, 5)))
    seen: Doubles = image * shade + rng.uniform(0.005, 0.06) * rng.standard_normal(shape)
    if rng.random() < 0.3:
        seen = np.sign(seen) * np.abs(seen) ** rng.uniform(0.7, 1.4)
    return seen.astype(np.float32)


def _blurred(image: npt.NDArray[np.floating], sigma: float) -> Field:
    first, second, third = (blur(edge, round(sigma, 2)) for edge in image.shape)
    return along_axes(image.astype(np.float32), first, second, third)


def _uneven(rng: np.random.Generator, shape: tuple[int, int, int], size_mm: float) -> Field:
    """A random field that varies over about so many voxels."""
    first, second, third = (max(2, round(edge / size_mm)) + 3 for edge in shape)
    return smooth_block(rng, shape, (first, second, third))
