"""What headers and labels say of images: the defaults that suit them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedvox.common.volume import CaseError
from fedvox.simulations.sources.files import header_of, read_label

_PATCH_LIMIT = 48
_PATCH_STEP = 16
_SAME_SPACING = 0.1
"""Images whose spacings differ by a larger part are resampled to the typical spacing."""
_CONTIGUOUS_BELOW = 16


@dataclass(frozen=True)
class Look:
    """What is known of an image before its voxels are."""

    grid: tuple[int, ...]
    channels: int
    spacing_mm: tuple[float, ...]
    axes: str
    """Where its axes point: letters of L, R, P, A, I, S."""


def suggested(looks: Sequence[Look], dims: int) -> dict[str, Any]:
    """Keys of [data] for images that look like these."""
    middle = np.median([look.grid[:dims] for look in looks], axis=0).astype(int)
    patch = np.clip(middle // _PATCH_STEP * _PATCH_STEP, _PATCH_STEP, _PATCH_LIMIT)
    channels = int(np.median([look.channels for look in looks]))
    found: dict[str, Any] = {"dims": dims, "channels": channels, "patch": patch.tolist()}
    spacings = np.array([look.spacing_mm[:dims] for look in looks])
    typical = np.median(spacings, axis=0)
    if (np.abs(spacings - typical) > _SAME_SPACING * typical).any():
        found["spacing"] = [round(float(mm), 3) for mm in typical]
    if dims == 3 and len({look.axes for look in looks}) > 1:
        found["orientation"] = "RAS"
    return found


def survey(images: Sequence[Path], channels: int) -> dict[str, Any]:
    """Keys of [data]; `channels` is 0 where the folder does not say."""
    looks = [look for path in images if (look := _look(path))]
    if not looks:
        return {"channels": channels or 1}
    found = suggested(looks, 2 if all(look.grid[2] == 1 for look in looks) else 3)
    return {**found, "channels": channels or found["channels"]}


def class_values(found: Iterable[int]) -> list[int]:
    """The values of classes where labels hold these, the background first."""
    values = {0, *found}
    if 0 < max(values) < _CONTIGUOUS_BELOW:  # small ones are indices: none in between is missing
        values |= set(range(max(values)))
    return sorted(values) if len(values) > 1 else [0, 1]


def label_values(labels: Sequence[Path], dims: int) -> dict[int, str]:
    """Names for the values found in some label files, the background first."""
    found: set[int] = set()
    for path in labels:
        try:
            found |= set(np.unique(read_label(path, dims)).tolist())
        except CaseError:
            continue
    return {v: f"label-{v}" if v else "background" for v in class_values(found)}


def _look(path: Path) -> Look | None:
    import nibabel

    try:
        header = header_of(path)
    except CaseError:
        return None
    spacing = tuple(np.linalg.norm(header.affine[:3, :3], axis=0).tolist())
    axes = "".join(nibabel.aff2axcodes(header.affine))
    return Look(header.grid, header.channels, spacing, axes)
