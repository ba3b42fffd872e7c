"""Painting soft-edged bodies into a deformed cube."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedvox.simulations.phantom.fields import Field, smooth_field

Point = Sequence[float]
Box = tuple[slice, slice, slice]

_SLACK = 0.16
"""Deformation moves no point further than about this, in half fields of view."""


@dataclass(frozen=True)
class Shape:
    """A soft-edged body in a part of the cube."""

    box: Box
    depth: Field
    """In voxels from the surface, positive inside."""

    @property
    def cover(self) -> Field:
        """Share of each voxel that the body fills."""
        share: Field = np.clip(self.depth + 0.5, 0, 1)
        return share


class Canvas:
    """A cube of air, [-1, 1] along each axis, in which bodies are painted one over another."""

    def __init__(self, side: int, zoom: float, shift: Point, rng: np.random.Generator) -> None:
        self.side = side
        self.hu = np.full((side, side, side), -1000, dtype=np.float32)
        self.texture = smooth_field(rng, side, side // 2)
        """Fine random texture of deviation one."""
        line = np.linspace(-1, 1, side, dtype=np.float32)
        self._zoom = zoom
        self._shift = tuple(shift)
        self._axes = []
        for axis in range(3):
            shape = [1, 1, 1]
            shape[axis] = side
            place = (line.reshape(shape) - np.float32(shift[axis])) / np.float32(zoom)
            self._axes.append(place + np.float32(0.035) * smooth_field(rng, side, 6))

    def ellipsoid(
        self, centre: Point, radii: Point, turn: float = 0.0, power: float = 2.0, rough: float = 0.0
    ) -> Shape:
        """A superellipsoid, turned by `turn` radians about the long axis of the body."""
        box = self._box(centre, radii, turn)
        x, y, z = (self._axes[axis][box] - np.float32(centre[axis]) for axis in range(3))
        if turn:
            cosine, sine = np.float32(np.cos(turn)), np.float32(np.sin(turn))
            x, y = cosine * x + sine * y, cosine * y - sine * x
        x, y, z = x / np.float32(radii[0]), y / np.float32(radii[1]), z / np.float32(radii[2])
        if power == 2:
            distance = np.sqrt(x * x + y * y + z * z)
        else:
            x, y, z = x * x, y * y, z * z
            half = np.float32(power / 2)
            distance = (x**half + y**half + z**half) ** np.float32(1 / power)
        if rough:
            distance += np.float32(rough) * self.texture[box]
        voxels = np.float32(min(radii) * self._zoom * self.side / 2)
        return Shape(box, (1 - distance) * voxels)

    def paint(self, shape: Shape, hu: float | Field, texture: float = 0.0) -> None:
        """Lays a tissue over what is there; `texture` is its deviation in HU."""
        tissue = np.asarray(hu, dtype=np.float32)
        if texture:
            tissue = tissue + np.float32(texture) * self.texture[shape.box]
        under = self.hu[shape.box]
        under += shape.cover * (tissue - under)

    def axis(self, number: int, box: Box) -> Field:
        """Deformed coordinate along an axis."""
        return self._axes[number][box]

    def centre_of(self, voxel: Sequence[int]) -> tuple[float, float, float]:
        """The place of a voxel in the body's coordinates."""
        x, y, z = (float(self._axes[axis][tuple(voxel)]) for axis in range(3))
        return x, y, z

    def _box(self, centre: Point, radii: Point, turn: float) -> Box:
        reach = [*radii] if not turn else [max(radii[:2]), max(radii[:2]), radii[2]]
        parts = []
        for axis in range(3):
            middle = centre[axis] * self._zoom + self._shift[axis]
            far = (reach[axis] + _SLACK) * self._zoom
            low, high = ((middle - far + 1) / 2 * self.side, (middle + far + 1) / 2 * self.side)
            low, high = max(0, int(low)), min(self.side, int(high) + 1)
            parts.append(slice(min(low, self.side - 1), max(high, 1)))
        return parts[0], parts[1], parts[2]
