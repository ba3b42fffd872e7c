"""What stored pixels mean: rescaling, bits, MONOCHROME1, and the smallest type that holds it."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_series import Series, datasets, set_pixels, write
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.pixels import apply_rescale
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from fedvox.client.ingest.reading.find import find, load
from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.scan import HU, Scan

SHAPE = (4, 9, 7)
LARGER = (4, 40, 36)
"""Encoders refuse smaller ones."""


def scan_of(folder: Path, slices: list[FileDataset]) -> Scan:
    write(folder, slices)
    (ref,) = find([folder]).scans
    return load(ref)


def stored(dtype: str, low: int, high: int, shape: tuple[int, int, int] = SHAPE) -> NDArray[Any]:
    """Any numbers from `low` to `high`, both among them."""
    numbers = np.random.default_rng(0).integers(low, high, shape, endpoint=True)
    numbers.flat[:2] = low, high
    return numbers.astype(dtype)


@pytest.mark.parametrize(
    ("voxels", "intercept", "slope", "dtype"),
    [
        (stored("int16", -1000, 3000), -24, 1, "int16"),
        (stored("uint16", 0, 4095), -1024, 1, "int16"),
        (stored("uint16", 0, 65535), 0, 1, "float32"),
        (stored("uint16", 32768, 65535), -32768, 1, "int16"),
        (stored("int16", -32768, 0), -1, 1, "float32"),
        (stored("int16", 0, 3000), 0.5, 1, "float32"),
        (stored("int16", 0, 3000), 0, 2.44, "float32"),
        (stored("uint8", 0, 255), 0, 1, "int16"),
        (stored("int32", -70_000, 70_000), 0, 1, "float32"),
    ],
)
def test_values_are_exact_in_the_smallest_type(
    voxels: NDArray[Any], intercept: float, slope: float, dtype: str, tmp_path: Path
) -> None:
    slices = datasets(Series(*SHAPE), voxels)
    for ds in slices:
        ds.RescaleIntercept, ds.RescaleSlope = intercept, slope
    scan = scan_of(tmp_path, slices)
    assert scan.image.dtype == dtype
    wanted = voxels.transpose(2, 1, 0).astype(np.float64) * slope + intercept
    np.testing.assert_array_equal(scan.image[0], wanted.astype(dtype))


def test_each_slice_is_rescaled_by_its_own_slope(tmp_path: Path) -> None:
    voxels = stored("int16", 0, 1000)
    slices = datasets(Series(*SHAPE, modality="MR"), voxels)
    for index, ds in enumerate(slices):
        ds.RescaleSlope, ds.RescaleIntercept = index + 0.5, index
    scan = scan_of(tmp_path, slices)
    slopes, intercepts = np.arange(4) + 0.5, np.arange(4)
    wanted = voxels.transpose(2, 1, 0) * slopes + intercepts
    np.testing.assert_array_equal(scan.image[0], wanted.astype(np.float32))


@pytest.mark.parametrize("signed", [False, True])
def test_bits_beyond_those_stored_are_ignored(signed: bool, tmp_path: Path) -> None:
    low = -2048 if signed else 0
    voxels = stored("int16", low, low + 4095)
    junk = stored("uint16", 0, 15) << 12
    slices = datasets(Series(*SHAPE, modality="MR"), (voxels.view("uint16") & 0xFFF) | junk)
    for ds in slices:
        ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 12, 11, int(signed)
    np.testing.assert_array_equal(scan_of(tmp_path, slices).image[0], voxels.transpose(2, 1, 0))


def test_pixels_in_the_upper_bits_are_moved_down(tmp_path: Path) -> None:
    voxels = stored("uint16", 0, 4095)
    slices = datasets(Series(*SHAPE, modality="MR"), voxels << 4)
    for ds in slices:
        ds.BitsStored, ds.HighBit = 12, 15
    np.testing.assert_array_equal(scan_of(tmp_path, slices).image[0], voxels.transpose(2, 1, 0))


@pytest.mark.parametrize(("modality", "turned"), [("MR", True), ("CT", False)])
def test_monochrome1_is_turned_but_not_where_values_have_units(
    modality: str, turned: bool, tmp_path: Path
) -> None:
    voxels = stored("uint16", 0, 4095)
    slices = datasets(Series(*SHAPE, modality=modality), voxels)
    for ds in slices:
        ds.BitsStored, ds.HighBit, ds.PhotometricInterpretation = 12, 11, "MONOCHROME1"
        ds.RescaleIntercept, ds.RescaleSlope = 0, 1
    wanted = 4095 - voxels.astype(int) if turned else voxels
    np.testing.assert_array_equal(scan_of(tmp_path, slices).image[0], wanted.transpose(2, 1, 0))


def compressed(syntax: str) -> Callable[[FileDataset], None]:
    plugin = "pylibjpeg" if syntax != JPEGLSLossless else "pyjpegls"  # GDCM aborts on 8 bits
    return lambda ds: ds.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False)


def relabelled(syntax: str) -> Callable[[FileDataset], None]:
    def make(ds: FileDataset) -> None:
        ds.file_meta.TransferSyntaxUID = syntax

    return make


def big_endian(ds: FileDataset) -> None:
    if ds.BitsAllocated > 8:
        width = ds.BitsAllocated // 8
        ds.PixelData = np.frombuffer(ds.PixelData, f"<u{width}").astype(f">u{width}").tobytes()
    else:
        ds.PixelData = np.frombuffer(ds.PixelData, "<u2").byteswap().tobytes()
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize(
    "encode",
    [
        relabelled(ImplicitVRLittleEndian),
        relabelled(DeflatedExplicitVRLittleEndian),
        big_endian,
        compressed(RLELossless),
        compressed(JPEGLSLossless),
        compressed(JPEG2000Lossless),
    ],
    ids=["implicit", "deflated", "big endian", "RLE", "JPEG-LS", "JPEG 2000"],
)
def test_every_encoding_gives_the_same_voxels(
    encode: Callable[[FileDataset], None], dtype: str, tmp_path: Path
) -> None:
    voxels = stored(dtype, 0, 100, LARGER) // 4 * 4
    slices = datasets(Series(*LARGER, modality="MR"), voxels)
    for ds in slices:
        encode(ds)
    scan = scan_of(tmp_path, slices)
    np.testing.assert_array_equal(scan.image[0], voxels.transpose(2, 1, 0))
    for index, ds in enumerate(slices):
        path = tmp_path / "one"
        pydicom.dcmwrite(path, ds)
        again = pydicom.dcmread(path)
        wanted = apply_rescale(again.pixel_array, again).T
        np.testing.assert_array_equal(scan.image[0, :, :, index], wanted)


def test_slices_of_several_encodings_are_one_scan(tmp_path: Path) -> None:
    voxels = stored("int16", 0, 3000, LARGER)
    slices = datasets(Series(*LARGER), voxels)
    slices[1].compress(RLELossless, generate_instance_uid=False)
    slices[2].compress(JPEG2000Lossless, generate_instance_uid=False)
    scan = scan_of(tmp_path, slices)
    np.testing.assert_array_equal(scan.image[0], voxels.transpose(2, 1, 0) - 1024)


def test_hounsfield_units_are_claimed_only_where_the_file_rescales(tmp_path: Path) -> None:
    slices = datasets(Series(*SHAPE))
    assert HU in scan_of(tmp_path / "rescaled", slices).flags
    for ds in slices:
        del ds.RescaleSlope, ds.RescaleIntercept
    assert HU not in scan_of(tmp_path / "bare", slices).flags


def test_floating_point_pixels(tmp_path: Path) -> None:
    planes = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    slices = datasets(Series(*SHAPE, modality="MR"))
    for ds, plane in zip(slices, planes, strict=True):
        del ds.PixelData, ds.BitsStored, ds.HighBit, ds.PixelRepresentation
        ds.BitsAllocated, ds.FloatPixelData = 32, plane.tobytes()
    np.testing.assert_array_equal(
        scan_of(tmp_path / "a", slices).image[0], planes.transpose(2, 1, 0)
    )
    slices[3].FloatPixelData = np.full(SHAPE[1:], np.nan, np.float32).tobytes()
    with pytest.raises(Quarantined) as caught:
        scan_of(tmp_path / "b", slices)
    assert caught.value.reason is Reason.NOT_FINITE


def test_an_x_ray_is_planar_and_has_no_depth(tmp_path: Path) -> None:
    (ds,) = datasets(Series(1, modality="DX"), stored("uint16", 0, 4095)[:1])
    del ds.ImagePositionPatient, ds.ImageOrientationPatient
    scan = scan_of(tmp_path, [ds])
    assert (scan.image.shape, scan.flags) == ((1, 7, 9, 1), {"planar"})
    np.testing.assert_array_equal(scan.affine, np.diag([-0.7, -0.8, 1, 1]))


def test_set_pixels_and_the_reader_agree_on_odd_lengths(tmp_path: Path) -> None:
    plane = np.arange(63, dtype=np.uint8).reshape(9, 7)
    (ds,) = datasets(Series(1, modality="MR"))
    set_pixels(ds, plane)
    np.testing.assert_array_equal(scan_of(tmp_path, [ds]).image[0, :, :, 0], plane.T)


def test_other_units_of_a_ct_are_not_called_hounsfield(tmp_path: Path) -> None:
    for kind, is_hu in (("HU", True), ("US", False), ("Z_EFF", False)):
        slices = datasets(Series(*SHAPE))
        for ds in slices:
            ds.RescaleType = kind
        assert (HU in scan_of(tmp_path / kind, slices).flags) is is_hu


@pytest.mark.parametrize("signed", [False, True])
def test_twelve_bits_in_jpeg_extended(signed: bool, tmp_path: Path) -> None:
    """Lossy: as dcmtk decodes what dcmtk has encoded."""
    if not shutil.which("dcmcjpeg"):
        pytest.skip("dcmtk is not installed: JPEG extended was NOT tested")
    waves = np.sin(np.arange(36) / 5)[:, None] * np.cos(np.arange(40) / 7) * 2047
    planes = [(np.roll(waves, at, axis=0) + (0 if signed else 2048)) for at in range(3)]
    slices = datasets(Series(3, 36, 40), np.stack(planes).astype("int16" if signed else "uint16"))
    for ds in slices:
        ds.BitsStored, ds.HighBit = 12, 11
    (tmp_path / "packed").mkdir()
    (tmp_path / "plain").mkdir()
    for path in write(tmp_path / "in", slices):
        packed, plain = tmp_path / "packed" / path.name, tmp_path / "plain" / path.name
        subprocess.run(["dcmcjpeg", "+ee", path, packed], check=True)
        subprocess.run(["dcmdjpeg", packed, plain], check=True, capture_output=True)
    one, other = (load(find([tmp_path / name]).scans[0]) for name in ("packed", "plain"))
    assert np.ptp(one.image) > 3000
    np.testing.assert_array_equal(one.image, other.image)
