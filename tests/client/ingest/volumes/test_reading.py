"""Folders of files as scans: whose they are, what is known of them, what is set aside."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from fedvox.client.ingest.reading.find import find, load
from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.scan import HEAD, PLANAR, TECHNICAL, Findings
from fedvox.client.ingest.volumes.people import PATIENT_BY_NAME
from fedvox.client.ingest.volumes.pictures import is_picture, read_picture
from fedvox.client.ingest.volumes.raster import FILLED


def nifti(path: Path, voxels: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.arange(60, dtype=np.int16).reshape(3, 4, 5) if voxels is None else voxels
    nibabel.save(nibabel.Nifti1Image(values, np.diag([1.0, 2, 3, 1])), path)
    return path


def picture(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def patients(found: Findings) -> list[str]:
    return sorted(ref.patient for ref in found.scans)


def test_a_bids_folder(tmp_path: Path):
    for sub, ses in (("01", "1"), ("01", "2"), ("02", "1")):
        stem = tmp_path / f"sub-{sub}" / f"ses-{ses}" / "anat" / f"sub-{sub}_ses-{ses}_T1w"
        nifti(stem.with_suffix(".nii.gz"))
        said = {"MagneticFieldStrength": 3, "Manufacturer": "Maker", "DeviceSerialNumber": "123"}
        stem.with_suffix(".json").write_text(json.dumps(said))
    (tmp_path / "participants.tsv").write_text(
        "participant_id\tage\tsex\tname\nsub-01\t63\tF\tDoe\n"
    )
    found = find([tmp_path])
    assert patients(found) == ["sub-01", "sub-01", "sub-02"]
    scan = load(next(ref for ref in found.scans if ref.patient == "sub-01"))
    assert scan.technical == {
        "modality": "MR", "field_strength_t": 3, "manufacturer": "Maker", "sex": "F", "age_years": 63,
    }  # fmt: skip
    assert set(scan.technical) <= set(TECHNICAL)
    assert scan.flags == {HEAD}
    assert len({ref.study_uid for ref in found.scans}) == 3
    assert not found.set_aside
    assert found.files_read == 7


def test_a_table_says_whose_images_are(tmp_path: Path):
    for name in ("a1", "a2", "b1"):
        nifti(tmp_path / f"{name}.nii")
    (tmp_path / "list.csv").write_text(
        "file;patient;modality\na1.nii;A;CT\na2.nii;A;CT\nb1.nii;B;CT\n"
    )
    found = find([tmp_path])
    assert patients(found) == ["A", "A", "B"]
    assert {load(ref).modality for ref in found.scans} == {"CT"}
    assert not any(PATIENT_BY_NAME in load(ref).flags for ref in found.scans)


def test_without_a_table_names_stand_for_patients_and_that_is_said(tmp_path: Path):
    nifti(tmp_path / "imagesTr" / "case7_0000.nii.gz")
    nifti(tmp_path / "p1" / "t1.nii")
    nifti(tmp_path / "p2" / "t1.nii")
    found = find([tmp_path])
    assert patients(found) == ["case7", "p1", "p2"]
    assert all(PATIENT_BY_NAME in load(ref).flags for ref in found.scans)


def test_masks_and_tables_are_companions(tmp_path: Path):
    nifti(tmp_path / "imagesTr" / "a.nii")
    nifti(tmp_path / "labelsTr" / "a.nii")
    (tmp_path / "dataset.json").write_text("{}")
    found = find([tmp_path])
    assert len(found.scans) == 1
    assert sorted(path.name for path in found.companions) == ["a.nii", "dataset.json"]


def test_pictures_of_a_table(tmp_path: Path):
    grey = np.random.default_rng(0).integers(0, 256, (5, 7)).astype(np.uint8)
    deep = np.random.default_rng(0).integers(0, 65536, (5, 7)).astype(np.uint16)
    picture(tmp_path / "in" / "a.png", grey)
    picture(tmp_path / "in" / "b.tif", deep)
    picture(tmp_path / "in" / "c.png", np.stack([grey] * 3, axis=2))
    picture(tmp_path / "in" / "d.png", np.stack([grey, grey, 255 - grey], axis=2))
    picture(tmp_path / "in" / "stray.png", grey)
    (tmp_path / "list.csv").write_text(
        "file,patient,class,spacing_mm\nin/a.png,A,x,0.2 0.1\nin/b.tif,B,y,\nin/c.png,C,x,\nin/d.png,D,x,\n"
    )
    found = find([tmp_path])
    scans = {ref.patient: load(ref) for ref in found.scans}
    assert np.array_equal(scans["A"].image[0, :, :, 0], grey.T)
    assert np.allclose(np.diag(scans["A"].affine), [-0.2, -0.1, 1, 1])
    assert np.array_equal(scans["B"].image[0, :, :, 0], deep.T)
    assert scans["B"].image.dtype == np.float32
    assert scans["C"].image.shape == (1, 7, 5, 1)
    assert scans["D"].image.shape == (3, 7, 5, 1)
    assert all(PLANAR in scan.flags for scan in scans.values())
    assert [(a.reason, a.files[0].name) for a in found.set_aside] == [
        (Reason.NOT_AN_IMAGE, "stray.png")
    ]


def test_a_jpeg(tmp_path: Path):
    pixels = np.tile(np.linspace(0, 250, 64).astype(np.uint8), (48, 1))
    picture(tmp_path / "a.jpg", pixels)
    (tmp_path / "t.csv").write_text("file,patient\na.jpg,A\n")
    image = load(find([tmp_path]).scans[0]).image[0, :, :, 0]
    assert np.abs(image - pixels.T).max() < 8


def test_damaged_pictures_and_bombs_have_a_reason(tmp_path: Path):
    good = picture(tmp_path / "a.png", np.zeros((50, 60), np.uint8)).read_bytes()
    (tmp_path / "a.png").write_bytes(good[:60])
    huge = bytearray(good)
    huge[16:24] = b"\0\1\0\0\0\1\0\0"  # 65536 x 65536
    (tmp_path / "b.png").write_bytes(huge)
    pages = [Image.fromarray(np.zeros((5, 5), np.uint8))] * 2
    pages[0].save(tmp_path / "c.tif", save_all=True, append_images=pages[1:])
    (tmp_path / "t.csv").write_text("file,patient\na.png,A\nb.png,B\nc.tif,C\n")
    reasons = {}
    for ref in find([tmp_path]).scans:
        with pytest.raises(Quarantined) as why:
            load(ref)
        reasons[ref.patient] = why.value.reason
    assert reasons["A"] is Reason.PIXEL_DATA_DAMAGED
    assert reasons["B"] in (Reason.TOO_LARGE, Reason.PIXEL_DATA_DAMAGED)
    assert reasons["C"] is Reason.UNREADABLE


def test_types_are_kept_small_where_nothing_is_lost(tmp_path: Path):
    for name, kind, top, expected in (
        ("a", np.uint8, 255, np.int16), ("b", np.int32, 32767, np.int16), ("c", np.int32, 32768, np.float32),
        ("d", np.uint16, 65535, np.float32), ("e", np.float64, 0.5, np.float32),
    ):  # fmt: skip
        nifti(tmp_path / f"{name}.nii", np.full((3, 4, 5), top, kind))
        ref = next(ref for ref in find([tmp_path]).scans if ref.patient == name)
        assert load(ref).image.dtype == expected
        assert load(ref).image.max() == top


def test_nan_becomes_the_lowest_value_unless_there_is_none(tmp_path: Path):
    voxels = np.arange(60, dtype=np.float32).reshape(3, 4, 5) + 5
    voxels[0, 0] = np.nan, np.inf, -np.inf, 9, 9
    nifti(tmp_path / "a.nii", voxels)
    nifti(tmp_path / "b.nii", np.full((3, 4, 5), np.nan, np.float32))
    good, bad = find([tmp_path]).scans
    assert load(good).image[0, 0, 0].tolist() == [9, 9, 9, 9, 9]
    assert FILLED in load(good).flags
    with pytest.raises(Quarantined) as why:
        load(bad)
    assert why.value.reason is Reason.NOT_FINITE


@pytest.mark.parametrize(
    "text", ["file,patient\na.nii,A\na.nii,B\n", "\udcff", 'file,patient\n"' + "x" * 200_000]
)
def test_damaged_tables_are_set_aside(tmp_path: Path, text: str):
    nifti(tmp_path / "a.nii")
    (tmp_path / "t.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    found = find([tmp_path])
    assert [aside.reason for aside in found.set_aside] == [Reason.UNREADABLE]
    assert len(found.scans) == 1


def test_a_table_cannot_name_files_elsewhere(tmp_path: Path):
    picture(tmp_path / "secret.png", np.zeros((5, 5), np.uint8))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "t.csv").write_text("file,patient\n../secret.png,A\n/etc/hostname,B\n")
    assert not find([tmp_path / "in"]).scans


def test_the_voxels_of_an_mhd_count_for_its_fingerprint(tmp_path: Path):
    head = "ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = x.raw\n"
    (tmp_path / "x.mhd").write_text(head)
    (tmp_path / "x.raw").write_bytes(bytes(8))
    (one,) = find([tmp_path]).scans
    (tmp_path / "x.raw").write_bytes(bytes(7) + b"\1")
    found = find([tmp_path])
    assert found.scans[0].fingerprint != one.fingerprint
    assert [path.name for path in found.companions] == ["x.raw"]
    assert load(found.scans[0]).image.sum() == 1


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_pictures_are_turned_as_their_orientation_says(tmp_path: Path, suffix: str):
    pixels = np.tile(np.linspace(0, 250, 64).astype(np.uint8), (48, 1))
    path, orientation = tmp_path / f"a.{suffix}", 6  # to be turned clockwise
    exif = Image.Exif()
    exif[274] = orientation
    more = {"tiffinfo": {274: orientation}} if suffix == "tif" else {"exif": exif}
    Image.fromarray(pixels).save(path, **more)
    shown = read_picture(path).voxels[0, :, :, 0].T
    assert shown.shape == (64, 48)
    assert np.abs(shown.astype(int) - np.rot90(pixels, -1)).max() < 8


def test_tiffs_whose_zero_is_white_and_large_ones(tmp_path: Path):
    for kind, white in ((np.uint8, 255), (np.uint16, 65535)):
        pixels = np.arange(0, white, white // 30).astype(kind)[None].repeat(4, axis=0)
        path = picture(tmp_path / "a.tif", pixels)
        raw = path.read_bytes()
        tag = b"\x06\x01\x03\0\x01\0\0\0"
        path.write_bytes(raw.replace(tag + b"\x01", tag + b"\0"))
        assert np.array_equal(read_picture(path).voxels[0, :, :, 0].T, white - pixels)
    Image.fromarray(pixels).save(path, big_tiff=True)
    assert is_picture(path.read_bytes())
    assert np.array_equal(read_picture(path).voxels[0, :, :, 0].T, pixels)
