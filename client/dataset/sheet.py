"""A case on one sheet: slices through it with its label drawn in, for a person to look at.

Nothing is written on the sheet: whose images these are must not be read from a picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedvox.client.dataset.casefile import Content
from fedvox.common.errors import ResourceError

_COLUMNS, _ROWS = 5, 4
_TILE = 160
_TINT = 0.45
_COLOURS = np.array(
    [
        (230, 60, 60), (60, 180, 75), (70, 110, 230), (240, 180, 30), (150, 70, 190),
        (40, 190, 200), (240, 120, 40), (220, 80, 180), (150, 200, 60), (110, 110, 160),
    ],
    dtype=np.float32,
)  # fmt: skip
_CT_WINDOW = (-160.0, 240.0)

Picture = npt.NDArray[np.uint8]


def sheet(content: Content) -> Picture:
    """An RGB picture of slices evenly spread over the case; of a projection, the projection."""
    image, label = _upright(content)
    depth = image.shape[2]
    count = min(depth, _COLUMNS * _ROWS)
    at = [(2 * place + 1) * depth // (2 * count) for place in range(count)]
    low, high = _window(image, content.facts.modality)
    tiles = [
        _tile(image[:, :, z], None if label is None else label[:, :, z], low, high, content)
        for z in at
    ]
    columns = min(count, _COLUMNS)
    rows = -(-count // columns)
    tiles += [np.zeros_like(tiles[0])] * (rows * columns - count)
    lines = [np.concatenate(tiles[row * columns : (row + 1) * columns], 1) for row in range(rows)]
    return np.concatenate(lines, 0)


def write_sheet(content: Content, path: Path) -> None:
    """Writes the sheet as a PNG."""
    from PIL import Image

    try:
        Image.fromarray(sheet(content)).save(path, format="PNG")
    except OSError as error:
        raise ResourceError(f"{path}: cannot be written: {error.strerror or error}") from None


def _upright(content: Content) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """The first channel and the label, with the patient's left on the right, front up."""
    image, label = content.image[0], content.label
    if content.facts.planar or "?" in content.facts.axes:
        return image, label
    from nibabel.orientations import (
        apply_orientation,
        axcodes2ornt,
        io_orientation,
        ornt_transform,
    )

    turn = ornt_transform(io_orientation(content.affine), axcodes2ornt(("L", "P", "S")))
    return apply_orientation(image, turn), None if label is None else apply_orientation(label, turn)


def _window(image: npt.NDArray[Any], modality: str) -> tuple[float, float]:
    if modality == "CT":
        return _CT_WINDOW
    steps = tuple(slice(None, None, max(1, size // 64)) for size in image.shape)
    low, high = np.percentile(image[steps], (1, 99))
    return float(low), float(max(high, low + 1e-6))


def _tile(
    image: npt.NDArray[Any],
    label: npt.NDArray[Any] | None,
    low: float,
    high: float,
    content: Content,
) -> Picture:
    """One slice [x, y] as a square picture [row, column, colour]."""
    grey = np.clip((image.T.astype(np.float32) - low) / (high - low), 0, 1) * 255
    picture = np.repeat(grey[:, :, None], 3, axis=2)
    if label is not None:
        value = label.T.astype(np.int64)
        colour = _COLOURS[(value - 1) % len(_COLOURS)]
        inside = value != 0
        picture[inside] = (1 - _TINT) * picture[inside] + _TINT * colour[inside]
    return _squared(picture.astype(np.uint8), content)


def _squared(picture: Picture, content: Content) -> Picture:
    from PIL import Image

    height, width = picture.shape[:2]
    across, down = _in_plane_mm(content)
    scale = (_TILE - 4) / max(width * across, height * down)
    size = (max(1, round(width * across * scale)), max(1, round(height * down * scale)))
    small = np.asarray(Image.fromarray(picture).resize(size))
    tile = np.zeros((_TILE, _TILE, 3), np.uint8)
    top, left = (_TILE - size[1]) // 2, (_TILE - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = small
    return tile


def _in_plane_mm(content: Content) -> tuple[float, float]:
    """Spacing of the axes that a tile shows."""
    spacing, axes = content.facts.spacing_mm, content.facts.axes
    if content.facts.planar or "?" in axes:
        return spacing[0] or 1.0, spacing[1] or 1.0
    by_axis = {frozenset("LR"): 0, frozenset("AP"): 1, frozenset("SI"): 2}
    of = {
        by_axis[kind]: mm
        for mm, code in zip(spacing, axes, strict=True)
        for kind in by_axis
        if code in kind
    }
    return of[0], of[1]
