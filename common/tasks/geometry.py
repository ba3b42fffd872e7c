"""Deterministic steps that move voxels: orientation, resampling, cropping, padding.

Images are [channels, *spatial], labels [*spatial]; an affine is (dims + 1) x (dims + 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from fedvox.common.volume import Aside, CaseError

Image = npt.NDArray[np.float32]
Label = npt.NDArray[np.uint8]
Affine = npt.NDArray[np.float64]
Voxel = TypeVar("Voxel", bound=np.generic)

_SAME_SPACING = 1e-3
"""Spacings that differ by less than this share are taken as equal."""
_RIGHT_ANGLE = 1e-2
"""Axes whose directions' product is smaller stand at right angles: half a degree."""


def affine_of(affine: npt.ArrayLike, dims: int) -> Affine:
    """The part of a 4 x 4 affine that belongs to the first `dims` axes."""
    whole = np.asarray(affine, dtype=np.float64)
    keep = [*range(dims), 3]
    if whole.shape != (4, 4) or not np.isfinite(whole).all():
        raise CaseError(Aside.GEOMETRY, "the affine must be 4 x 4 and finite")
    part = whole[np.ix_(keep, keep)]
    if abs(np.linalg.det(part[:dims, :dims])) < 1e-12:
        raise CaseError(Aside.GEOMETRY, "the affine collapses an axis")
    return part


def spacing_of(affine: Affine) -> tuple[float, ...]:
    """Voxel spacing in mm along each axis."""
    dims = len(affine) - 1
    return tuple(float(length) for length in np.linalg.norm(affine[:dims, :dims], axis=0))


def is_sheared(affine: Affine) -> bool:
    """Whether the axes do not stand at right angles, as in a CT with a tilted gantry."""
    dims = len(affine) - 1
    axes = affine[:dims, :dims] / np.linalg.norm(affine[:dims, :dims], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(dims)).max() > _RIGHT_ANGLE)


def orient(
    image: Image, label: Label | None, affine: Affine, codes: str
) -> tuple[Image, Label | None, Affine]:
    """Turned and flipped so that the axes point to `codes`; of three codes a 2D image uses two."""
    from nibabel import orientations

    dims = len(affine) - 1
    turn = orientations.ornt_transform(
        orientations.io_orientation(affine), orientations.axcodes2ornt(codes[:dims])
    )
    if np.array_equal(turn, [[axis, 1] for axis in range(dims)]):
        return image, label, affine
    turned = affine @ orientations.inv_ornt_aff(turn, image.shape[1:])
    channels = [orientations.apply_orientation(channel, turn) for channel in image]
    if label is not None:
        label = orientations.apply_orientation(label, turn)
    return np.stack(channels), label, turned


def resample(
    image: Image, label: Label | None, affine: Affine, spacing: Sequence[float]
) -> tuple[Image, Label | None, Affine]:
    """At another spacing: image linear, label nearest; beyond the border its last voxel repeats.

    Axes that do not stand at right angles do so afterwards.
    """
    same = np.allclose(spacing_of(affine), spacing, rtol=_SAME_SPACING, atol=0)
    if same and not is_sheared(affine):
        return image, label, affine
    sampled, turned = _respaced(image, affine, spacing, "bilinear")
    if label is not None:
        label = _respaced(label[None].astype(np.float32), affine, spacing, "nearest")[0][0].astype(
            np.uint8
        )
    return sampled, label, turned


def _respaced(
    channels: npt.NDArray[np.float32], affine: Affine, spacing: Sequence[float], mode: str
) -> tuple[Image, Affine]:
    import torch
    from monai.data.meta_tensor import MetaTensor
    from monai.transforms.spatial.array import Spacing

    tensor = MetaTensor(
        torch.from_numpy(np.ascontiguousarray(channels)), affine=torch.from_numpy(affine)
    )
    sampled: Any = Spacing(tuple(spacing), mode=mode, padding_mode="border")(tensor)
    turned = np.asarray(sampled.affine, dtype=np.float64)
    return sampled.numpy().astype(np.float32, copy=False), turned


def crop_to_foreground(image: Image, label: Label | None) -> tuple[Image, Label | None]:
    """The smallest box that holds all that is above its channel's minimum."""
    axes = tuple(range(1, image.ndim))
    above = (image > image.min(axis=axes, keepdims=True)).any(axis=0)
    if not above.any():
        raise CaseError(Aside.EMPTY, "nothing in the image is above its minimum")
    box = bounding_box(above)
    return image[:, *box], None if label is None else label[box]


def bounding_box(mask: npt.NDArray[np.bool_]) -> tuple[slice, ...]:
    """The smallest box that holds all of a mask that is not empty."""
    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        inside = np.flatnonzero(mask.any(axis=others))
        box.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return tuple(box)


def crop_or_pad(
    image: Image, label: Label | None, size: Sequence[int]
) -> tuple[Image, Label | None]:
    """Centred in `size`: cut where larger, padded where smaller (image: minimum, label: 0)."""
    box = tuple(
        slice((edge - want) // 2, (edge - want) // 2 + want) if edge > want else slice(None)
        for edge, want in zip(image.shape[1:], size, strict=True)
    )
    image, label = pad_to(image[:, *box], size), None if label is None else label[box]
    return image, None if label is None else pad_label_to(label, size)


def pad_to(image: Image, size: Sequence[int]) -> Image:
    """Centred in at least `size`; new voxels take the minimum of their channel."""
    if all(have >= want for have, want in zip(image.shape[1:], size, strict=True)):
        return image
    return np.stack([_padded(channel, size, channel.min()) for channel in image])


def pad_label_to(label: npt.NDArray[Voxel], size: Sequence[int]) -> npt.NDArray[Voxel]:
    """Centred in at least `size`; new voxels are background."""
    return _padded(label, size, 0)


def margins(shape: Sequence[int], size: Sequence[int]) -> list[tuple[int, int]]:
    """Voxels added before and after each axis when `shape` is centred in at least `size`."""
    missing = [max(want - have, 0) for have, want in zip(shape, size, strict=True)]
    return [(lack // 2, lack - lack // 2) for lack in missing]


def _padded(array: npt.NDArray[Voxel], size: Sequence[int], value: Any) -> npt.NDArray[Voxel]:
    return np.pad(array, margins(array.shape, size), constant_values=value)
