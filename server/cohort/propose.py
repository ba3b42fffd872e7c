"""One data contract for all sites, with the reason for each key."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fedvox.common.cohort.axes import WORDS
from fedvox.server.cohort.labels import Labels, labels_of
from fedvox.server.cohort.pool import Pool

_ANISOTROPIC = 3.0
"""From this ratio on, slices are so thick that resampling to the median would blur the thin ones'
detail: the axis takes the spacing that nine in ten patients have at least."""
_FINE_SHARE = 0.1
_STEP = 8
"""Patches divide by this: three halvings of the default network."""
_SMALLEST, _LARGEST = 16, 256
_CLASSIFIED_SIDE = 96
_BYTES_A_VOXEL = 1000
"""Memory of a training step by voxel of a patch, of the default network with one channel in 3D:
measured, 520 to 830."""
_CT = WORDS["modality"].index("CT")
_FLAT = WORDS["dims"].index("2")


@dataclass(frozen=True)
class Proposal:
    """Keys of a study, as TOML paths, and why."""

    settings: dict[str, Any]
    reasons: dict[str, str]
    labels: Labels


def propose(pool: Pool, task: str = "", memory_gib: float = 8.0, batch_size: int = 2) -> Proposal:
    """The contract that the pool suggests."""
    labels = labels_of(pool, task)
    dims = 2 if pool.share("dims", _FLAT) > 0.5 else 3
    settings: dict[str, Any] = {
        "task.kind": labels.task,
        "data.dims": dims,
        "data.channels": _channels(pool),
        "training.batch_size": batch_size,
    }
    reasons = {
        "data.dims": "as most patients' images have",
        "data.channels": "as most patients' images have",
        "training.batch_size": f"so that a step fits into {memory_gib:g} GiB",
    }
    if labels.classes:
        settings["task.classes"] = list(labels.classes)
        reasons["task.classes"] = "the labels that sites share, by value"
    if labels.label_map:
        settings["data.label_map"] = dict(labels.label_map)
        reasons["data.label_map"] = "values in label files are not 0, 1, 2, ..."
    spacing = _spacing(pool, dims)
    size = [pool.middle(f"size_{axis}") for axis in range(dims)]
    if spacing:
        settings["data.spacing"] = spacing
        reasons["data.spacing"] = _why_spacing(spacing)
        if dims == 3:
            settings["data.orientation"] = "RAS"
            reasons["data.orientation"] = "so that the axes of spacing and patch are anatomy's"
    patch = _patch(pool, spacing, size, labels.task, memory_gib, batch_size)
    if patch:
        settings["data.patch"] = patch
        reasons["data.patch"] = f"the middle size at this spacing, as far as {memory_gib:g} GiB go"
        if labels.task == "classification":
            settings["data.size"] = patch
            reasons["data.size"] = "a classifier sees whole images"
    window = _window(pool)
    if window:
        settings["data.window"] = window
        settings["data.normalise"] = "zscore"
        reasons["data.window"] = "what lies between the sites' low and high percentiles, in HU"
    return Proposal(settings, reasons, labels)


def _channels(pool: Pool) -> int:
    shares = [pool.share("channels", cell) for cell in range(len(WORDS["channels"]))]
    return shares.index(max(shares)) + 1


def _spacing(pool: Pool, dims: int) -> list[float]:
    """The middle spacing of each axis; across thick slices a finer one, where many have it."""
    found = [pool.middle(f"spacing_mm_{axis}") for axis in range(dims)]
    spacing = [value for value in found if value is not None]
    if len(spacing) < dims:
        return []
    thick = max(range(dims), key=spacing.__getitem__)
    others = max(value for axis, value in enumerate(spacing) if axis != thick)
    if dims == 3 and spacing[thick] >= _ANISOTROPIC * min(spacing):
        finer = pool.lower(f"spacing_mm_{thick}", _FINE_SHARE) or spacing[thick]
        spacing[thick] = max(min(finer, spacing[thick]), others)
    return [round(value, 3) for value in spacing]


def _why_spacing(spacing: Sequence[float]) -> str:
    if max(spacing) >= _ANISOTROPIC * min(spacing):
        return "the sites' medians; slices are thick, that axis as fine as nine in ten have them"
    return "the median of the sites' medians, no site counting for more than a third"


def _patch(
    pool: Pool,
    spacing: Sequence[float],
    size: Sequence[float | None],
    task: str,
    memory_gib: float,
    batch_size: int,
) -> list[int]:
    """As much of the middle image as memory allows, in steps that the network can halve."""
    known = [value for value in size if value is not None]
    if len(known) < len(size) or not spacing:
        return []
    before = [pool.middle(f"spacing_mm_{axis}") or 1.0 for axis in range(len(known))]
    whole = [voxels * old / new for voxels, old, new in zip(known, before, spacing, strict=True)]
    most = _CLASSIFIED_SIDE if task == "classification" else _LARGEST
    patch = [_stepped(min(edge, most)) for edge in whole]
    room = 0.8 * memory_gib * 2**30 / (batch_size * _BYTES_A_VOXEL)
    while math.prod(patch) > room and max(patch) > _SMALLEST:
        longest = max(range(len(patch)), key=lambda axis: (patch[axis], patch[axis] / whole[axis]))
        patch[longest] -= _STEP
    return patch


def _stepped(edge: float) -> int:
    return max(_SMALLEST, int(edge // _STEP) * _STEP)


def _window(pool: Pool) -> list[float]:
    """Of CT only: elsewhere intensities have no unit that sites share."""
    if pool.share("modality", _CT) <= 0.5:
        return []
    low, high = pool.middle("intensity_low"), pool.middle("intensity_high")
    if low is None or high is None or low >= high:
        return []
    return [low, high]
