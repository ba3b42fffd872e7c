"""What the headers and labels of some images say of a folder: the defaults that suit it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedvox.common.volume import CaseError
from fedvox.simulations.sources.files import read_label, shape_and_affine

_PATCH_LIMIT = 48
_PATCH_STEP = 16
_SAME_SPACING = 0.1
"""Images whose spacings differ by a larger part are resampled to the typical spacing."""


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    affine: npt.NDArray[np.float64]


def survey(images: Sequence[Path], channels: int) -> dict[str, Any]:
    """Keys of [data]; `channels` is 0 where the folder does not say."""
    import nibabel

    headers = [header for path in images if (header := _header(path))]
    if not headers:
        return {"channels": channels or 1}
    flat = all(len(h.shape) == 2 or h.shape[2:] == (1,) for h in headers)
    dims = 2 if flat else 3
    middle = np.median([h.shape[:dims] for h in headers], axis=0).astype(int)
    patch = np.clip(middle // _PATCH_STEP * _PATCH_STEP, _PATCH_STEP, _PATCH_LIMIT)
    seen = int(np.median([h.shape[3] if len(h.shape) > 3 else 1 for h in headers]))
    found: dict[str, Any] = {"dims": dims, "channels": channels or seen, "patch": patch.tolist()}
    spacings = np.array([np.linalg.norm(h.affine[:3, :dims], axis=0) for h in headers])
    typical = np.median(spacings, axis=0)
    if (np.abs(spacings - typical) > _SAME_SPACING * typical).any():
        found["spacing"] = [round(float(mm), 3) for mm in typical]
    if dims == 3 and len({nibabel.aff2axcodes(h.affine) for h in headers}) > 1:
        found["orientation"] = "RAS"
    return found


def label_values(labels: Sequence[Path], dims: int) -> dict[int, str]:
    """Names for the values found in some label files, the background first."""
    found = {0}
    for path in labels:
        try:
            found |= set(np.unique(read_label(path, dims)).tolist())
        except CaseError:
            continue
    if 0 < max(found) < _PATCH_STEP:  # small values are class indices: none in between is missing
        found |= set(range(max(found)))
    if found == {0}:
        found = {0, 1}
    return {value: f"label-{value}" if value else "background" for value in sorted(found)}


def _header(path: Path) -> _Header | None:
    try:
        shape, affine = shape_and_affine(path)
    except CaseError:
        return None
    return _Header(shape, affine) if len(shape) >= 2 else None
