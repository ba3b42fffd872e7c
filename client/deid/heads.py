"""Whether a scan shows a head, by its shape; for scans whose headers do not say.

A foreground about as wide, long and closed as a head, in the upper part of the scan, also where the
scan goes on to the feet. It marks more than it should (a thigh may pass) and misses heads that are
cut off at the side: the mark only says where to look, and what --deface works on.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

_GRID_MM = 8.0
_CELL_MM = 10.0
_WIDTH_MM = (110.0, 200.0)
_LENGTH_MM = (140.0, 240.0)
_ROUND = (0.6, 0.95)
"""What part of its bounding box a head fills, seen from above; a disc fills 0.79."""
_SLAB_MM = (30.0, 90.0)
"""Depth below the vertex in which a head is measured: where the skull is widest."""
_SHALLOW_MM = 100.0
"""A scan that is no deeper may begin anywhere in the head, and is measured as a whole."""
WITH_FACES: Final = ("CT", "MR", "OT")
"""Modalities that show faces; volume files do not say theirs, and are OT."""
_SKIN_HU = -300.0
"""Between air and skin."""


def foreground(
    image: npt.NDArray[Any],
    affine: npt.NDArray[np.float64],
    modality: str,
    grid_mm: float = _GRID_MM,
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """The largest body in the first channel on a coarse grid, and the grid's affine."""
    from scipy import ndimage

    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    steps = [max(1, int(grid_mm / mm)) if mm > 0 else 1 for mm in spacing]
    coarse = np.asarray(image[0, :: steps[0], :: steps[1], :: steps[2]], dtype=np.float32)
    body = coarse > _threshold(coarse, modality)
    parts, count = ndimage.label(body)
    if count > 1:
        body = parts == 1 + np.argmax(np.bincount(parts.reshape(-1))[1:])
    return body, affine @ np.diag([*steps, 1.0])


def _threshold(image: npt.NDArray[np.float32], modality: str) -> float:
    low, high = np.percentile(image, (2, 98))
    if low < _SKIN_HU and modality != "MR":  # there is air, in Hounsfield units
        return _SKIN_HU
    return float(low + 0.12 * (high - low))


def points(body: npt.NDArray[np.bool_], affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Where the body's voxels are, in mm: right, anterior and superior."""
    index = np.argwhere(body)
    found: npt.NDArray[np.float64] = index @ affine[:3, :3].T + affine[:3, 3]
    return found


def looks_like_head(
    image: npt.NDArray[Any], affine: npt.NDArray[np.float64], modality: str
) -> bool:
    """Whether CT, MR or a volume of unknown kind shows what has the measures of a head."""
    if modality not in WITH_FACES or min(image.shape[1:]) < 8:
        return False
    where = points(*foreground(image, affine, modality))
    if not len(where):
        return False
    depth = where[:, 2].max() - where[:, 2]
    slab = where
    if depth.max() > _SHALLOW_MM:
        slab = where[(depth >= _SLAB_MM[0]) & (depth <= _SLAB_MM[1])]
    width, length = (np.ptp(slab[:, axis]) for axis in (0, 1))
    if not (_WIDTH_MM[0] <= width <= _WIDTH_MM[1] and _LENGTH_MM[0] <= length <= _LENGTH_MM[1]):
        return False
    filled = _filled(slab, width, length)
    return bool(_ROUND[0] <= filled <= _ROUND[1])


def _filled(slab: npt.NDArray[np.float64], width: float, length: float) -> float:
    """The part of the bounding box, seen from above, over which something lies."""
    cells = np.unique(np.round(slab[:, :2] / _CELL_MM), axis=0)
    return float(len(cells) * _CELL_MM**2 / (width * length))
