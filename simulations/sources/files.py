"""Reading NIfTI, NRRD and MetaImage files into RAS+ millimetres."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedvox.common.volume import Aside, CaseError, Volume

NIFTI = (".nii.gz", ".nii")
ITK = (".nrrd", ".nhdr", ".mha", ".mhd")
_SAME_MM = 1e-2
"""Geometries further apart are not the same."""

Raster = tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]
"""Voxels [*spatial] or [*spatial, channels], and the affine in RAS+."""


def stem(path: Path | str) -> str:
    """The name of an image file without folder and suffix."""
    name = Path(path).name
    suffix = next((suffix for suffix in (*NIFTI, *ITK) if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)] if suffix else name


def is_image(path: Path) -> bool:
    """Whether the file's name is that of an image that can be read."""
    name = path.name.lower()
    return name.endswith((*NIFTI, *ITK)) and not name.startswith(".")


def read_case(image_path: Path, label: Path | int, dims: int) -> Volume:
    """Image and label (a file, or the class index), checked against each other."""
    voxels, affine = _read(image_path, "image")
    image = _channels_first(voxels, dims)
    image = _finite(image)
    if isinstance(label, int):
        return Volume(image, affine, label)
    raw, label_affine = _read(label, "label file")
    mask = _spatial(raw, dims)
    if mask.shape != image.shape[1:]:
        raise CaseError(
            Aside.GEOMETRY, f"image is {_by(image.shape[1:])}, label {_by(mask.shape)} voxels"
        )
    apart = float(np.abs(affine - label_affine).max())
    if not apart <= _SAME_MM:
        raise CaseError(Aside.GEOMETRY, f"affines of image and label differ by {apart:.3g} mm")
    return Volume(image, affine, _whole(mask))


def read_label(path: Path, dims: int) -> npt.NDArray[np.int32]:
    """The label map alone."""
    return _whole(_spatial(_read(path, "label file")[0], dims))


def shape_and_affine(path: Path) -> tuple[tuple[int, ...], npt.NDArray[np.float64]]:
    """Shape ([*spatial] or [*spatial, channels]) and affine from the header alone."""
    try:
        if path.name.lower().endswith(NIFTI):
            import nibabel

            header: Any = nibabel.load(path)
            return tuple(header.shape), np.asarray(header.affine, dtype=np.float64)
        reader = _itk().ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        channels = reader.GetNumberOfComponents()
        shape = tuple(reader.GetSize()) + ((channels,) if channels > 1 else ())
        return shape, _ras(reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection())
    except Exception as error:  # the readers raise whatever their decoders do
        raise CaseError(Aside.UNREADABLE, f"image: {_first_line(error)}") from None


def _read(path: Path, what: str) -> Raster:
    if not path.is_file():
        missing = Aside.UNREADABLE if what == "image" else Aside.NO_LABEL
        raise CaseError(missing, f"{what} {path.name} is not there")
    try:
        raster = _read_nifti(path) if path.name.lower().endswith(NIFTI) else _read_itk(path)
    except Exception as error:  # the readers raise whatever their decoders do
        raise CaseError(Aside.UNREADABLE, f"{what}: {_first_line(error)}") from None
    if not raster[0].size:
        raise CaseError(Aside.EMPTY, f"{what} {path.name} has no voxel")
    return raster


def _read_nifti(path: Path) -> Raster:
    import nibabel

    image: Any = nibabel.load(path)
    voxels = np.asarray(image.get_fdata(dtype=np.float32, caching="unchanged"))
    return voxels, np.asarray(image.affine, dtype=np.float64)


def _read_itk(path: Path) -> Raster:
    image = _itk().ReadImage(str(path))
    voxels = np.asarray(_itk().GetArrayFromImage(image), dtype=np.float32)
    spatial = list(range(image.GetDimension()))
    order = spatial[::-1] + ([len(spatial)] if voxels.ndim > len(spatial) else [])
    affine = _ras(image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    return voxels.transpose(order), affine


def _itk() -> Any:
    import SimpleITK

    return SimpleITK


def _ras(
    spacing: tuple[float, ...], origin: tuple[float, ...], direction: tuple[float, ...]
) -> npt.NDArray[np.float64]:
    """ITK's geometry (towards left and back) as an affine towards right and front."""
    axes = len(spacing)
    kept = min(axes, 3)
    turned = np.asarray(direction, dtype=np.float64).reshape(axes, axes)[:kept, :kept]
    affine = np.eye(4)
    affine[:kept, :kept] = turned * np.asarray(spacing[:kept])
    affine[:kept, 3] = origin[:kept]
    affine[:2] *= -1
    return affine


def _channels_first(voxels: npt.NDArray[np.float32], dims: int) -> npt.NDArray[np.float32]:
    voxels = _without_flat_axes(voxels, dims + 1)
    if voxels.ndim == dims:
        return np.ascontiguousarray(voxels)[None]
    if voxels.ndim == dims + 1:
        return np.ascontiguousarray(np.moveaxis(voxels, -1, 0))
    raise CaseError(Aside.GEOMETRY, f"image is {_by(voxels.shape)}, but data.dims = {dims}")


def _spatial(voxels: npt.NDArray[np.float32], dims: int) -> npt.NDArray[np.float32]:
    voxels = _without_flat_axes(voxels, dims)
    if voxels.ndim != dims:
        raise CaseError(Aside.GEOMETRY, f"label is {_by(voxels.shape)}, but data.dims = {dims}")
    return voxels


def _without_flat_axes(voxels: npt.NDArray[np.float32], axes: int) -> npt.NDArray[np.float32]:
    """Drops trailing axes of one voxel that are more than can be used."""
    while voxels.ndim > axes and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    return voxels


def _finite(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """NaN and infinity, which mask what was not imaged, become the lowest value there is."""
    finite = np.isfinite(image)
    if finite.all():
        return image
    if not finite.any():
        raise CaseError(Aside.NOT_FINITE, "no voxel of the image is a finite number")
    return np.where(finite, image, image[finite].min())


def _whole(mask: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    rounded = np.rint(mask)
    if not np.isfinite(mask).all() or np.abs(mask - rounded).max() > 1e-3:
        raise CaseError(Aside.LABEL_VALUE, "the label file holds values that are not whole numbers")
    return np.ascontiguousarray(rounded.astype(np.int32))


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
