"""Volumes as SimpleITK and nibabel read them, voxel by voxel and within 1e-3 mm."""

import os
from itertools import product
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from scipy.spatial.transform import Rotation

from fedvox.client.ingest.reasons import Quarantined
from fedvox.client.ingest.volumes.formats import (
    format_of,
    head_of,
    read_header,
    read_volume,
    stem,
)
from fedvox.client.ingest.volumes.raster import ASSUMED_GEOMETRY

SHARED = Path(os.environ.get("FEDVOX_TEST_DATA") or Path(__file__).parents[5] / "shared" / "data")
TURNED = Rotation.from_euler("xyz", [10, 20, 30], degrees=True).as_matrix()
KINDS = (np.uint8, np.int8, np.int16, np.uint16, np.int32, np.float32, np.float64)
WRITABLE = [
    *product((".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"), KINDS, (False, True)),
    *product((".gipl",), (np.uint8, np.int16, np.uint16, np.float32), (False,)),
]


def _affine(image: SimpleITK.Image) -> np.ndarray:
    """Of a three-dimensional image, towards right and front."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1.0, -1, 1, 1]) @ affine


def _voxels(image: SimpleITK.Image) -> np.ndarray:
    array = SimpleITK.GetArrayFromImage(image)
    return array.transpose(3, 2, 1, 0) if array.ndim == 4 else array.transpose(2, 1, 0)[None]


def _itk(kind: type, channels: int = 1, turned: bool = True) -> SimpleITK.Image:
    shape = (4, 5, 6) if channels == 1 else (4, 5, 6, channels)
    values = (np.random.default_rng(0).normal(size=shape) * 50 + 60).clip(0, 120).astype(kind)
    image = SimpleITK.GetImageFromArray(values, isVector=channels > 1)
    image.SetSpacing((0.7, 1.3, 2.9))
    image.SetOrigin((10, -20, 33))
    if turned:
        image.SetDirection(TURNED.ravel().tolist())
    return image


@pytest.mark.parametrize(("suffix", "kind", "packed"), WRITABLE)
def test_as_simpleitk_reads_what_it_wrote(tmp_path: Path, suffix: str, kind: type, packed: bool):
    path = tmp_path / f"x{suffix}"
    SimpleITK.WriteImage(_itk(kind, turned=suffix != ".gipl"), str(path), packed)
    raster, theirs = read_volume(path), SimpleITK.ReadImage(str(path))
    assert np.array_equal(raster.voxels, _voxels(theirs))
    assert raster.voxels.dtype.newbyteorder("=") == _voxels(theirs).dtype
    assert np.abs(raster.affine - _affine(theirs)).max() < 1e-4


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha", ".mhd"])
def test_channels(tmp_path: Path, suffix: str):
    SimpleITK.WriteImage(_itk(np.int16, 3), str(tmp_path / f"x{suffix}"), True)
    raster = read_volume(tmp_path / f"x{suffix}")
    assert np.array_equal(raster.voxels, _voxels(_itk(np.int16, 3)))
    assert np.abs(raster.affine - _affine(_itk(np.int16, 3))).max() < 1e-4


def test_metaimage_in_words(tmp_path: Path):
    voxels = _voxels(_itk(np.int16))
    head = (
        "ObjectType = Image\nNDims = 3\nBinaryData = False\nOffset = 1 2 3\nElementSpacing = 1 2 3\n"
        "DimSize = 6 5 4\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    (tmp_path / "x.mha").write_text(head + " ".join(map(str, voxels.ravel(order="F"))))
    raster = read_volume(tmp_path / "x.mha")
    assert np.array_equal(raster.voxels, voxels)
    assert raster.affine.tolist() == [[-1, 0, 0, -1], [0, -2, 0, -2], [0, 0, 3, 3], [0, 0, 0, 1]]
    assert raster.flags == {ASSUMED_GEOMETRY}


@pytest.mark.parametrize("space", ["right-anterior-superior", "left-anterior-superior", "LPS"])
def test_nrrd_in_any_space_and_byte_order_with_a_channel_in_front(tmp_path: Path, space: str):
    voxels = np.arange(2 * 3 * 4 * 5, dtype=">i2").reshape(2, 3, 4, 5)
    head = (
        f"NRRD0004\n# made by hand\ntype: short\ndimension: 4\nspace: {space}\nsizes: 2 3 4 5\n"
        "space directions: none (1,0.5,0) (0,2,0) (0,0,3)\nkinds: vector domain domain domain\n"
        'endian: big\nencoding: raw\nspace origin: (7,8,9)\nspace units: "cm" "cm" "cm"\n\n'
    )
    (tmp_path / "x.nrrd").write_bytes(head.encode() + voxels.tobytes(order="F"))
    raster = read_volume(tmp_path / "x.nrrd")
    assert np.array_equal(raster.voxels, voxels)
    signs = {"r": (1, 1, 1), "l": (-1, 1, 1), "L": (-1, -1, 1)}[space[0]]
    by_hand = 10 * np.array([[1, 0, 0, 7], [0.5, 2, 0, 8], [0, 0, 3, 9]]) * np.array(signs)[:, None]
    assert np.allclose(raster.affine[:3], by_hand)


def test_what_stands_in_the_fields_of_slicer(tmp_path: Path):
    image = _itk(np.uint8)
    image.SetMetaData("Segment0_Name", "Liver")
    image.SetMetaData("Segment0_LabelValue", "7")
    SimpleITK.WriteImage(image, str(tmp_path / "x.seg.nrrd"), True)
    (segment,) = read_volume(tmp_path / "x.seg.nrrd").segments
    assert (segment.name, segment.value, segment.layer) == ("Liver", 7, 0)


@pytest.mark.parametrize("form", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("codes", [(0, 0), (1, 0), (0, 2), (1, 2)], ids=str)
def test_nifti_geometry_as_nibabel_has_it(tmp_path: Path, form: type, suffix: str, codes):
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = TURNED * (0.7, 1.1, 3.0), (5, -6, 7)
    image = form(np.arange(60, dtype=np.int16).reshape(3, 4, 5), affine)
    image.set_qform(
        np.diag([2.0, 1.5, 1, 1]) @ affine if codes[0] and codes[1] else affine, codes[0]
    )
    image.set_sform(affine, codes[1])
    nibabel.save(image, tmp_path / f"x{suffix}")
    raster, theirs = read_volume(tmp_path / f"x{suffix}"), nibabel.load(tmp_path / f"x{suffix}")
    assert np.abs(raster.affine - theirs.affine).max() < 1e-5
    assert np.array_equal(raster.voxels[0], np.asarray(theirs.dataobj))
    assert (ASSUMED_GEOMETRY in raster.flags) == (codes == (0, 0))


@pytest.mark.parametrize("order", ["<", ">"])
def test_nifti_scale_units_time_and_byte_order(tmp_path: Path, order: str):
    header = nibabel.Nifti1Header(endianness=order)
    values = np.arange(3 * 4 * 5 * 2).reshape(3, 4, 5, 1, 2).astype(np.int16)
    image = nibabel.Nifti1Image(values, np.diag([1e-3, 1e-3, 2e-3, 1]), header)
    image.header.set_xyzt_units("meter")
    image.header.set_slope_inter(0.5, -7)
    nibabel.save(image, tmp_path / "x.nii.gz")
    raster = read_volume(tmp_path / "x.nii.gz")
    theirs = nibabel.load(tmp_path / "x.nii.gz").get_fdata()[:, :, :, 0]
    assert np.allclose(raster.voxels, np.moveaxis(theirs, -1, 0))
    assert np.allclose(np.diag(raster.affine), [1, 1, 2, 1])
    assert raster.voxels.dtype == np.float32


def test_nifti_in_colour_is_three_channels(tmp_path: Path):
    kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    values = np.zeros((3, 4, 5), kind)
    values["G"], values["B"][1] = 7, 9
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "x.nii")
    raster = read_volume(tmp_path / "x.nii")
    assert raster.voxels.shape == (3, 3, 4, 5)
    assert [int(channel.max()) for channel in raster.voxels] == [0, 7, 9]


def test_a_flat_image_has_one_slice(tmp_path: Path):
    nibabel.save(nibabel.Nifti1Image(np.ones((6, 5), np.int16), np.eye(4)), tmp_path / "x.nii")
    image = SimpleITK.GetImageFromArray(np.ones((5, 6), np.int16))
    image.SetSpacing((0.5, 0.25))
    for name in ("x.nrrd", "x.mha"):
        SimpleITK.WriteImage(image, str(tmp_path / name))
        assert np.allclose(np.abs(np.diag(read_volume(tmp_path / name).affine)), [0.5, 0.25, 1, 1])
    for name in ("x.nii", "x.nrrd", "x.mha"):
        assert read_volume(tmp_path / name).voxels.shape == (1, 6, 5, 1)


def test_what_a_file_is_its_content_says(tmp_path: Path):
    SimpleITK.WriteImage(_itk(np.int16), str(tmp_path / "x.mha"))
    (tmp_path / "x.mha").rename(tmp_path / "x.nii")
    form = format_of(head_of(tmp_path / "x.nii"))
    assert form is not None and form.name == "metaimage"
    assert np.array_equal(read_volume(tmp_path / "x.nii").voxels, _voxels(_itk(np.int16)))
    assert format_of(b"") is None


def test_stems():
    names = ("a.b.nii.gz", "a.b.seg.nrrd", "x.MHD", "notes.txt", "y.gipl.gz")
    assert [stem(name) for name in names] == ["a.b", "a.b", "x", "notes.txt", "y"]


@pytest.mark.skipif(
    not (SHARED / "nrrd").is_dir(), reason="no shared data here: ../shared/data or FEDVOX_TEST_DATA"
)
def test_real_nrrd_files_as_simpleitk_reads_them():
    paths = [*(SHARED / "nrrd").glob("*.nrrd"), *(SHARED / "dicom" / "dcmqi").rglob("*.nrrd")]
    assert len(paths) > 15
    for path in paths:
        raster, theirs = read_volume(path), SimpleITK.ReadImage(str(path))
        assert np.array_equal(raster.voxels, _voxels(theirs))
        assert np.abs(raster.affine - _affine(theirs)).max() < 1e-3


@pytest.mark.parametrize("suffix", [".img", ".img.gz"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Pair, nibabel.Nifti2Pair])
def test_a_pair_of_header_and_image(tmp_path: Path, kind: type, suffix: str):
    affine = np.array([[-2.0, 0, 0, 10], [0, 0, 3.0, -5], [0, 1.5, 0, 7], [0, 0, 0, 1]])
    voxels = np.random.default_rng(0).integers(0, 300, (4, 5, 6)).astype(np.int16)
    nibabel.save(kind(voxels, affine), tmp_path / f"a{suffix}")
    (header,) = tmp_path.glob("a.hdr*")
    raster = read_volume(header)
    assert np.array_equal(raster.voxels[0], voxels)
    assert np.allclose(raster.affine, affine, atol=1e-5)
    assert stem(header) == "a"
    (tmp_path / f"a{suffix}").unlink()
    with pytest.raises(Quarantined, match="damaged"):
        read_volume(header)


def test_headers_are_those_of_the_voxels(tmp_path: Path):
    for number, suffix in enumerate((".nii.gz", ".nrrd", ".mhd", ".nhdr", ".gipl")):
        path = tmp_path / f"{number}{suffix}"
        SimpleITK.WriteImage(_itk(np.int16, turned=suffix != ".gipl"), str(path))
        header, raster = read_header(path), read_volume(path)
        assert (header.channels, *header.grid) == raster.voxels.shape
        assert np.array_equal(header.affine, raster.affine)
