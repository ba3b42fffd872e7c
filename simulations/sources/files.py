"""Cases of a simulation from image files, read as a site's ingest reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedvox.client.ingest.labels.masks import whole_values
from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.volumes.formats import VOLUMES, read_header, read_volume
from fedvox.client.ingest.volumes.raster import Array, Header, Raster
from fedvox.client.ingest.volumes.reading import finite
from fedvox.common.volume import Aside, CaseError, Volume

_SAME_MM = 1e-2
"""Geometries further apart are not the same."""
_REASONS = {
    Reason.EMPTY: Aside.EMPTY,
    Reason.NOT_FINITE: Aside.NOT_FINITE,
    Reason.NO_GEOMETRY: Aside.GEOMETRY,
    Reason.LABEL_VALUE: Aside.LABEL_VALUE,
}


def is_image(path: Path) -> bool:
    """Whether the file's name is that of a volume that can be read."""
    name = path.name.lower()
    return name.endswith(VOLUMES) and not name.startswith(".")


def read_case(image_path: Path, label: Path | int, dims: int) -> Volume:
    """Image and label (a file, or the class index), checked against each other."""
    raster = _read(image_path, "image")
    image = _image(raster, dims)
    if isinstance(label, int):
        return Volume(image, raster.affine, label)
    marked = _read(label, "label file")
    mask = _mask(marked, dims)
    if mask.shape != image.shape[1:]:
        raise CaseError(
            Aside.GEOMETRY, f"image is {_by(image.shape[1:])}, label {_by(mask.shape)} voxels"
        )
    apart = float(np.abs(raster.affine - marked.affine).max())
    if not apart <= _SAME_MM:
        raise CaseError(Aside.GEOMETRY, f"affines of image and label differ by {apart:.3g} mm")
    return Volume(image, raster.affine, mask)


def read_label(path: Path, dims: int) -> npt.NDArray[np.int32]:
    """The label map alone."""
    return _mask(_read(path, "label file"), dims)


def header_of(path: Path) -> Header:
    """What an image declares; no voxel is read."""
    try:
        return read_header(path)
    except Quarantined as why:
        raise _error(why, "image") from None


def _read(path: Path, what: str) -> Raster:
    if not path.is_file():
        missing = Aside.UNREADABLE if what == "image" else Aside.NO_LABEL
        raise CaseError(missing, f"{what} {path.name} is not there")
    try:
        return read_volume(path)
    except Quarantined as why:
        raise _error(why, what) from None


def _error(why: Quarantined, what: str) -> CaseError:
    aside = _REASONS.get(why.reason, Aside.UNREADABLE)
    return CaseError(aside, f"{what}: {why.detail or why.reason.sentence}")


def _image(raster: Raster, dims: int) -> npt.NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # beyond float32 is infinity, and handled as that
            image, _ = finite(_spatial(raster.voxels, dims, "image").astype(np.float32))
    except Quarantined as why:
        raise _error(why, "image") from None
    return np.ascontiguousarray(image, dtype=np.float32)


def _mask(raster: Raster, dims: int) -> npt.NDArray[np.int32]:
    try:
        layers = _spatial(whole_values(raster), dims, "label")
    except Quarantined as why:
        raise _error(why, "label file") from None
    if len(layers) > 1:
        raise CaseError(Aside.GEOMETRY, f"label has {len(layers)} values a voxel; it needs one")
    return np.ascontiguousarray(layers[0], dtype=np.int32)


def _spatial(voxels: Array, dims: int, what: str) -> Array:
    """[channels, *spatial] with as many axes as the study's images have."""
    if dims == 3:
        return voxels
    if voxels.shape[3] == 1:
        return voxels[..., 0]
    if len(voxels) == 1 and what == "image":  # a flat image's third axis holds its channels
        return np.moveaxis(voxels[0], -1, 0)
    raise CaseError(Aside.GEOMETRY, f"{what} is {_by(voxels.shape[1:])}, but data.dims = {dims}")


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
