"""Takes the face out of a head scan: a wedge in front of and below the brain becomes air.

The method is simple on purpose, so that its limits can be known. From the vertex and the front of
the forehead it draws one plane that runs from above the brow backwards and down, towards the base
of the skull, and sets everything in front of and below it to the smallest value of the image. All
distances are in parts of the head's length, so children are treated like adults.

Limits: the head must be in the scan from the vertex, or less than two centimetres below it, to
below the eyes, and be held roughly upright; else the scan is refused. Where a chin is raised by
more than 8 degrees, the upper part of the eyes may stay; where it is lowered, a part of the
frontal lobe may go. Ears and the shape of the skull stay. The front of the neck goes down to below
the chin. A defaced scan is not an anonymous one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fedvox.client.deid.heads import WITH_FACES, foreground, points

_GRID_MM = 4.0
_BROW = 0.5
"""Depth of the brow below the vertex at the front."""
_FALL = 0.55
"""How far the plane falls for each mm backwards: below the frontal lobe, down to the clivus."""
_REACH = 0.5
"""How far back from the forehead anything is taken away."""
_CHIN = 1.4
"""Depth below the vertex from which on there is no face any more, but a neck and a chest."""
_LENGTHS_MM = (110.0, 240.0)
_LEAST_DEPTH = 0.6
"""Depth of the scan below the vertex, without which there is no face to take out."""
_VAULT_MM, _WIDEST_CUT_MM = 85.0, 55.0
"""Radius of the skull's vault, and of the widest cut through it above which the vertex is known."""
LIMITS = (
    "taken out: what lies in front of and below the brain. Not taken out: ears, teeth seen from "
    "the side, the skull's shape. A head with its chin raised by more than 8 degrees may "
    "keep the upper part of its eyes, one with its chin lowered lose some of the brain: look at "
    "some with `fedvox site data show CASE --png FILE`"
)
"""What a person must know who defaces."""


class CannotDeface(Exception):
    """The head is not where, or not as large as, the method needs it."""


def face_of(
    image: npt.NDArray[Any], affine: npt.NDArray[np.float64], modality: str
) -> npt.NDArray[np.bool_]:
    """The voxels [x, y, z] that are the face; CannotDeface where that cannot be told."""
    if modality not in WITH_FACES:
        raise CannotDeface("only heads in CT and MR are defaced")
    body, coarse = foreground(image, affine, modality, _GRID_MM)
    where = points(body, coarse)
    if not len(where):
        raise CannotDeface("nothing in the scan stands out from air")
    vertex = where[:, 2].max() + _missing_mm(body, coarse)
    skull = where[vertex - where[:, 2] < _BROW * 190]
    back, front = np.percentile(skull[:, 1], (0.2, 99.8))
    length = front - back
    if not _LENGTHS_MM[0] <= length <= _LENGTHS_MM[1]:
        raise CannotDeface("what is in the scan has not the length of a head")
    if vertex - where[:, 2].min() < _LEAST_DEPTH * length:
        raise CannotDeface("the scan ends above the face")
    return _wedge(image.shape[1:], affine, float(front), float(vertex), float(length))


def without_face(image: npt.NDArray[Any], face: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """A copy of the image in which the face has the smallest value of each channel."""
    found = image.copy()
    for channel in found:
        channel[face] = channel.min()
    return found


def _wedge(
    shape: tuple[int, ...],
    affine: npt.NDArray[np.float64],
    front: float,
    vertex: float,
    length: float,
) -> npt.NDArray[np.bool_]:
    behind, below = (
        _along(shape, -affine[1], front) / length,
        _along(shape, -affine[2], vertex) / length,
    )
    under_the_brain = below > _BROW + _FALL * np.maximum(behind, 0)
    found: npt.NDArray[np.bool_] = under_the_brain & (behind < _REACH) & (below < _CHIN)
    return found


def _along(
    shape: tuple[int, ...], row: npt.NDArray[np.float64], start: float
) -> npt.NDArray[np.float32]:
    """start + row . (i, j, k, 1) for every voxel, in mm."""
    i, j, k = (
        (row[axis] * np.arange(count)).astype(np.float32) for axis, count in enumerate(shape)
    )
    found: npt.NDArray[np.float32] = (
        i[:, None, None] + j[None, :, None] + k[None, None, :] + np.float32(row[3] + start)
    )
    return found


def _missing_mm(body: npt.NDArray[np.bool_], affine: npt.NDArray[np.float64]) -> float:
    """What lies above the upper end of the scan, by how wide the vault is where it was cut."""
    axis = int(np.argmax(np.abs(affine[2, :3])))
    last = -1 if affine[2, axis] > 0 else 0
    cut = np.take(body, last, axis=axis)
    sides = np.linalg.norm(np.delete(affine[:3, :3], axis, axis=1), axis=0)
    radius_mm = float(np.sqrt(cut.sum() * sides.prod() / np.pi))
    if radius_mm > _WIDEST_CUT_MM:
        raise CannotDeface("the vertex is not in the scan")
    return float(_VAULT_MM - np.sqrt(_VAULT_MM**2 - radius_mm**2))
