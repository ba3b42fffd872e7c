"""A folder of small NIfTI images with labels."""

from pathlib import Path

import numpy as np
from small import ball


def image_folder(folder: Path, cases: int = 8, patients: str = "case") -> Path:
    """`images/` and `labels/` of balls in noise, 10 x 10 x 10 voxels."""
    for number in range(cases):
        write_case(folder, f"{patients}{number}", number)
    return folder


def write_case(folder: Path, name: str, number: int, label_value: int = 1) -> None:
    """One case; its ball is labelled with a value."""
    import nibabel

    volume = ball(number)
    mask = (np.asarray(volume.label) * label_value).astype(np.int16)
    for kind, voxels in (("images", volume.image[0]), ("labels", mask)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / kind / f"{name}.nii.gz")
