"""Real and synthetic series against SimpleITK, dcm2niix and pydicom."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_defects import DEFECTS, VARIANTS, written
from grids import apart_mm, turned_like
from numpy.typing import NDArray
from pydicom.pixels import apply_rescale
from real_dicom import files_below, of_pydicom, shared

from fedvox.client.ingest.reading.find import find, load
from fedvox.client.ingest.reasons import Quarantined
from fedvox.client.ingest.scan import PLANAR, Scan, ScanRef

SAME_MM = 1e-3
Placed = tuple[NDArray[np.generic], NDArray[np.float64]]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom.*")


@pytest.fixture(scope="module")
def scans() -> list[tuple[ScanRef, Scan]]:
    """Every scan in the real files, found file by file and folder by folder."""
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    folders = [of_pydicom(), shared()]
    files = [path for folder in folders for path in files_below(folder)]
    found: dict[str, ScanRef] = {}
    for group in [[path] for path in files] + [[path] for path in {path.parent for path in files}]:
        found |= {ref.fingerprint: ref for ref in find(group, ["dicom"]).scans}
    return list(_loaded(found.values()))


def _loaded(refs: object) -> Iterator[tuple[ScanRef, Scan]]:
    for ref in refs:  # type: ignore[attr-defined]
        try:
            yield ref, load(ref)
        except Quarantined:
            continue


def by_itk(ref: ScanRef) -> Placed | None:
    """Voxels [x, y, z] and affine as SimpleITK reads them, or None where it does not."""
    try:
        if len(ref.files) > 1:
            reader = SimpleITK.ImageSeriesReader()
            reader.SetFileNames([str(path) for path in ref.files])
            image = reader.Execute()
        else:
            image = SimpleITK.ReadImage(str(ref.files[0]))
    except RuntimeError:
        return None
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    voxels = SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0)
    return voxels, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def by_niix(ref: ScanRef, folder: Path) -> list[Placed]:
    """The same of all that dcm2niix makes of the files."""
    source, target = folder / "in", folder / "out"
    source.mkdir(parents=True)
    target.mkdir()
    for index, path in enumerate(ref.files):
        shutil.copy(path, source / f"{index}.dcm")
    command = ["dcm2niix", "-z", "n", "-b", "n", "-o", target, source]
    subprocess.run(command, capture_output=True, check=False, timeout=60)
    images = [nibabel.load(path) for path in sorted(target.glob("*.nii")) if "ROI" not in path.name]
    return [
        (np.asarray(image.dataobj).reshape((*image.shape, 1)[:3]), image.affine) for image in images
    ]


def apart(scan: Scan, placed: Placed) -> tuple[float, float]:
    """Millimetres and values that another reading is away from ours."""
    voxels, affine = placed
    shape = scan.image.shape[1:]
    if shape[2] == 1:  # how thick a single slice is, each tool guesses for itself
        affine = affine.copy()
        affine[:3, 2] = scan.affine[:3, 2]
    voxels, affine = turned_like(voxels, affine, scan.affine, shape)
    return apart_mm(affine, scan.affine, shape), float(np.abs(voxels - scan.image[0]).max())


def test_geometry_and_values_are_those_of_simpleitk(scans: list[tuple[ScanRef, Scan]]) -> None:
    compared = 0
    for ref, scan in scans:
        other = by_itk(ref)
        if other is None:
            continue
        mm, values = apart(scan, other)
        assert mm < SAME_MM, ref.files[0].name
        if PLANAR not in scan.flags:  # SimpleITK, too, turns MONOCHROME1 in its own way
            assert values <= 2e-4 * max(1.0, float(np.abs(scan.image).max())), ref.files[0].name
        compared += 1
    assert compared >= 60


@pytest.mark.skipif(not shutil.which("dcm2niix"), reason="dcm2niix is not installed")
def test_geometry_is_that_of_dcm2niix(scans: list[tuple[ScanRef, Scan]], tmp_path: Path) -> None:
    compared = 0
    for ref, scan in scans:
        tilt = pydicom.dcmread(ref.files[0], stop_before_pixels=True).get("GantryDetectorTilt", 0)
        if PLANAR in scan.flags or (len(ref.files) == 1 and tilt):
            continue  # it centres projections, and shears a single slice by its tilt
        for other in by_niix(ref, tmp_path / ref.fingerprint):
            mm, _ = apart(scan, other)
            itk = by_itk(ref)
            # Where cosines are not perpendicular the two correct them differently; we side with ITK.
            assert mm < SAME_MM or (mm < 2 * SAME_MM and itk and apart(scan, itk)[0] < 1e-6)
            compared += 1
    assert compared >= 55


def test_values_are_those_of_pydicom(scans: list[tuple[ScanRef, Scan]]) -> None:
    compared = 0
    for ref, scan in scans:
        if len(ref.files) != scan.image.shape[3]:
            continue
        for index, path in enumerate(ref.files):
            ds = pydicom.dcmread(path)
            if ds.PhotometricInterpretation == "MONOCHROME1":
                continue
            wanted = apply_rescale(ds.pixel_array, ds).T
            np.testing.assert_allclose(scan.image[0, :, :, index], wanted, rtol=1e-6, atol=1e-4)
            compared += 1
    assert compared >= 90


@pytest.mark.parametrize("variant", VARIANTS)
def test_series_made_for_it_lie_where_they_were_put(variant: str, tmp_path: Path) -> None:
    series = VARIANTS[variant][0]
    written(tmp_path / "dicom", DEFECTS[0], variant)
    (ref,) = find([tmp_path / "dicom"]).scans
    scan = load(ref)
    np.testing.assert_allclose(scan.affine, series.affine, atol=1e-9)
    intercept = -1024 if series.modality == "CT" else 0
    np.testing.assert_array_equal(scan.image[0], series.voxels().transpose(2, 1, 0) + intercept)
    itk = by_itk(ref)
    assert itk is not None
    mm, values = apart(scan, itk)
    assert (mm < SAME_MM, values) == (True, 0)
    if shutil.which("dcm2niix") and variant != "mr-deflated":  # which dcm2niix does not read
        (other,) = by_niix(ref, tmp_path / "niix")
        mm, values = apart(scan, other)
        assert (mm < SAME_MM, values) == (True, 0)


def test_every_real_file_ends_somewhere_and_for_a_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for folder in (of_pydicom(), shared()):
        found = find([folder], ["dicom"])
        ends = {path: "scan" for ref in found.scans for path in ref.files}
        ends |= {label.path: f"label {label.kind}" for label in found.labels}
        ends |= dict.fromkeys(found.companions, "companion")
        ends |= {path: str(aside.reason) for aside in found.set_aside for path in aside.files}
        with capsys.disabled():
            for reason in sorted(set(ends.values())):
                print(f"  {list(ends.values()).count(reason):4d}  {reason}")
        assert set(ends) == set(files_below(folder))
        assert found.files_read == len(ends)
        assert not any("unexpected" in aside.detail for aside in found.set_aside)
