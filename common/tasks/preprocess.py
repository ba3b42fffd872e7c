"""The deterministic part of preprocessing: one volume in, one case ready for training out.

Order: label map, orientation, resampling, crop to foreground, denoising, window, histogram
equalisation, crop or pad, normalisation. Labels are mapped first, so that a value outside the map
is found wherever it stands; as labels only ever move to nearest neighbours, the result is the same.
Steps that are off cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from fedvox.common.errors import StudyError
from fedvox.common.study.schema import Study
from fedvox.common.study.sections import DataSection
from fedvox.common.tasks import geometry, intensity
from fedvox.common.tasks.task import Prepared
from fedvox.common.volume import Aside, CaseError, Volume

_FOREGROUND_VOXELS = 512
"""Kept of each class, to centre training patches on."""


def prepare(volume: Volume, study: Study) -> Prepared:
    """A volume as the study's data contract wants it; CaseError where it cannot be used."""
    data, classes = study.data, len(study.task.classes)
    _check_image(volume, data)
    if study.task.kind == "classification":
        index = _class_index(volume, data, classes)
        image, _, spacing = _shape(volume, None, data)
        return Prepared(image, index, spacing, np.zeros((0, 1 + data.dims), np.int32))
    image, label, spacing = _shape(volume, _class_map(volume, data, classes), data)
    if label is None:
        raise CaseError(Aside.NO_LABEL, "a segmentation case needs a label map")
    return Prepared(image, label, spacing, foreground_voxels(label, classes))


def foreground_voxels(label: npt.NDArray[np.uint8], classes: int) -> npt.NDArray[np.int32]:
    """At most 512 voxels of every foreground class, evenly spread over them in memory order."""
    rows = []
    for index in range(1, classes):
        found = np.flatnonzero(label == index)
        if len(found) > _FOREGROUND_VOXELS:
            found = found[np.arange(_FOREGROUND_VOXELS) * len(found) // _FOREGROUND_VOXELS]
        where = np.unravel_index(found, label.shape)
        rows.append(np.stack([np.full(len(found), index), *where], axis=1))
    return np.concatenate(rows).astype(np.int32)


def _shape(
    volume: Volume, label: npt.NDArray[np.uint8] | None, data: DataSection
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8] | None, tuple[float, ...]]:
    image = np.asarray(volume.image, dtype=np.float32)
    affine = geometry.affine_of(volume.affine, data.dims)
    if data.orientation:
        image, label, affine = geometry.orient(image, label, affine, data.orientation)
    if data.spacing or geometry.is_sheared(affine):
        spacing = data.spacing or geometry.spacing_of(affine)
        image, label, affine = geometry.resample(image, label, affine, spacing)
    if data.crop == "foreground":
        image, label = geometry.crop_to_foreground(image, label)
    if data.denoise != "none":
        image = intensity.denoise(image, data.denoise, data.denoise_radius)
    if data.window:
        image = intensity.clip_to_window(image, data.window)
    if data.equalise:
        image = intensity.equalise(image)
    if data.size:
        image, label = geometry.crop_or_pad(image, label, data.size)
    image = np.ascontiguousarray(intensity.normalise(image, data), dtype=np.float32)
    label = None if label is None else np.ascontiguousarray(label)
    return image, label, data.spacing or geometry.spacing_of(affine)


def _check_image(volume: Volume, data: DataSection) -> None:
    image = volume.image
    if image.ndim != data.dims + 1:
        raise CaseError(
            Aside.GEOMETRY,
            f"{image.ndim - 1} spatial axes, but the study has data.dims = {data.dims}",
        )
    if image.shape[0] != data.channels:
        raise CaseError(
            Aside.CHANNELS, f"{image.shape[0]} channels, but the study has {data.channels}"
        )
    if not image.size:
        raise CaseError(Aside.EMPTY, "the image has no voxels")
    if not np.isfinite(image).all():
        raise CaseError(Aside.NOT_FINITE, "the image holds NaN or infinity")


def _class_index(volume: Volume, data: DataSection, classes: int) -> npt.NDArray[np.uint8]:
    if isinstance(volume.label, np.ndarray) and volume.label.ndim:
        raise CaseError(Aside.NO_LABEL, "a label map, but the study classifies whole images")
    return _to_classes(np.asarray(volume.label), data.label_map, classes)


def _class_map(volume: Volume, data: DataSection, classes: int) -> npt.NDArray[np.uint8]:
    if not isinstance(volume.label, np.ndarray) or not volume.label.ndim:
        raise CaseError(Aside.NO_LABEL, "a class index, but the study needs a label map")
    if volume.label.shape != volume.image.shape[1:]:
        raise CaseError(
            Aside.GEOMETRY,
            f"the label has shape {volume.label.shape}, the image {volume.image.shape[1:]}",
        )
    return _to_classes(volume.label, data.label_map, classes)


def _to_classes(
    values: npt.NDArray[np.integer], label_map: Mapping[str, int], classes: int
) -> npt.NDArray[np.uint8]:
    if not label_map:
        if int(values.min()) < 0 or int(values.max()) >= classes:
            outside = values[(values < 0) | (values >= classes)]
            raise CaseError(
                Aside.LABEL_VALUE,
                f"value {outside.flat[0]}, but classes go from 0 to {classes - 1}",
            )
        return values.astype(np.uint8)
    known, mapped = _sorted_map(label_map)
    at = np.searchsorted(known, values).clip(max=len(known) - 1)
    strange = known[at] != values
    if strange.any():
        value = np.atleast_1d(values)[np.atleast_1d(strange)][0]
        raise CaseError(Aside.LABEL_VALUE, f"value {value} is not in data.label_map")
    return np.asarray(mapped[at], dtype=np.uint8)


def _sorted_map(
    label_map: Mapping[str, int],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    try:
        pairs = sorted((int(value), to) for value, to in label_map.items())
    except ValueError:
        raise StudyError(
            f"data.label_map: {', '.join(map(repr, label_map))}: values in label files are whole "
            'numbers; write them as in {"0" = 0, "4" = 1}'
        ) from None
    known = np.asarray([value for value, _ in pairs], dtype=np.int64)
    return known, np.asarray([to for _, to in pairs], dtype=np.uint8)
