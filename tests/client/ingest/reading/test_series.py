"""Stacks, phases and their geometry, where a defect's reason does not say enough."""

import pickle
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from dicom_changes import again, timed
from dicom_defects import DEFECTS, OBLIQUE, written
from dicom_series import ROOT, Series, changed, datasets, enhanced, write
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from fedvox.client.ingest.reading.find import find, load
from fedvox.client.ingest.reasons import Reason
from fedvox.client.ingest.scan import GANTRY_TILT, Findings, Scan

OBLIQUE_SERIES = Series(6, modality="MR", orientation=OBLIQUE, step_mm=(-1.2, 1.6, 0.0))


def found_in(folder: Path, slices: list[FileDataset]) -> Findings:
    write(folder, slices)
    return find([folder])


def scans_of(folder: Path, slices: list[FileDataset]) -> list[Scan]:
    return [load(ref) for ref in found_in(folder, slices).scans]


def test_order_comes_from_positions_alone(tmp_path: Path) -> None:
    def misnumbered(index: int, ds: Dataset) -> None:
        ds.InstanceNumber, ds.SliceLocation = (index * 5) % 7, -index

    slices = changed(datasets(OBLIQUE_SERIES), misnumbered)
    (scan,) = scans_of(tmp_path, slices[::-1])
    np.testing.assert_allclose(scan.affine, OBLIQUE_SERIES.affine, atol=1e-9)
    np.testing.assert_array_equal(scan.image[0], OBLIQUE_SERIES.voxels().transpose(2, 1, 0))
    assert scan.sop_uids == tuple(ds.SOPInstanceUID for ds in slices)


def test_a_tilted_gantry_shears_the_affine_and_not_the_voxels(tmp_path: Path) -> None:
    series = Series(5, step_mm=(0.0, 0.67, 2.5))
    (scan,) = scans_of(tmp_path, datasets(series))
    assert GANTRY_TILT in scan.flags
    np.testing.assert_allclose(scan.affine, series.affine, atol=1e-9)
    np.testing.assert_allclose(scan.affine[:3, 2], [0, -0.67, 2.5], atol=1e-9)


def test_phases_keep_their_voxels(tmp_path: Path) -> None:
    series = Series(6)
    first = series.voxels().transpose(2, 1, 0) - 1024
    for name, slices in {
        "echo": again(6, EchoTime=90)(datasets(series)),
        "time": timed(datasets(series)),
    }.items():
        one, other = scans_of(tmp_path / name, slices)
        assert sorted([int((scan.image[0] - first).max()) for scan in (one, other)]) == [0, 1]
        np.testing.assert_array_equal(np.abs(one.image - other.image), 1)


def test_phases_by_two_attributes_at_once(tmp_path: Path) -> None:
    slices: list[FileDataset] = []
    for number, (echo, kind) in enumerate([(10, "M"), (10, "P"), (20, "M"), (20, "P")]):
        series = Series(4, modality="MR", extras={"EchoTime": echo, "ImageType": ["A", "B", kind]})
        more = datasets(series, series.voxels(number))
        for ds in more:
            ds.SOPInstanceUID += f".{number}"
        slices += more
    scans = scans_of(tmp_path, slices)
    wanted = [Series(4).voxels(seed).transpose(2, 1, 0) for seed in range(4)]
    assert len(scans) == 4
    assert all(any((scan.image[0] == one).all() for scan in scans) for one in wanted)


def test_slices_in_turns_of_two_acquisitions_stay_one_stack(tmp_path: Path) -> None:
    slices = changed(datasets(Series(8)), lambda k, ds: setattr(ds, "AcquisitionNumber", k % 2))
    (scan,) = scans_of(tmp_path, slices)
    assert scan.image.shape[3] == 8


def test_two_slabs_of_two_acquisitions_are_two_scans(tmp_path: Path) -> None:
    slices = datasets(Series(4)) + datasets(Series(4, first_mm=(-50, -60, 91.3)))
    for index, ds in enumerate(slices):
        ds.AcquisitionNumber = index // 4
        ds.SOPInstanceUID = f"1.2.{index + 1}"
    assert [scan.image.shape[3] for scan in scans_of(tmp_path, slices)] == [4, 4]


@pytest.mark.parametrize("syntax", ["", RLELossless, JPEGLSLossless])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_a_multi_frame_object_is_the_same_scan(modality: str, syntax: str, tmp_path: Path) -> None:
    series = Series(5, 40, 36, modality, OBLIQUE, step_mm=(-1.2, 1.6, 0.0))
    whole = enhanced(series)
    if syntax:
        whole.compress(syntax, generate_instance_uid=False)
    (one,) = scans_of(tmp_path / "enhanced", [whole])
    (many,) = scans_of(tmp_path / "plain", datasets(series))
    np.testing.assert_array_equal(one.image, many.image)
    np.testing.assert_allclose(one.affine, many.affine, atol=1e-9)
    assert one.frame_numbers == (5, 4, 3, 2, 1)
    assert one.flags == many.flags


def test_a_multi_frame_object_that_lacks_frames_is_refused(tmp_path: Path) -> None:
    whole = enhanced(Series(5))
    del whole.PerFrameFunctionalGroupsSequence[-1]
    found = found_in(tmp_path, [whole])
    assert [aside.reason for aside in found.set_aside] == [Reason.UNREADABLE]
    assert not found.scans


def test_a_series_with_a_damaged_file_is_not_read_in_part(tmp_path: Path) -> None:
    paths = write(tmp_path, datasets(Series(5)))
    content = paths[-1].read_bytes()
    paths[-1].write_bytes(content[: content.find(b"\x28\0\x02\0") + 5])
    found = find([tmp_path])
    assert not found.scans
    assert {aside.reason for aside in found.set_aside} == {Reason.UNREADABLE}


def test_a_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    (first,) = found_in(tmp_path / "a", datasets(Series(4))).scans
    (moved,) = found_in(tmp_path / "b" / "c", datasets(Series(4))[::-1]).scans
    (other,) = found_in(tmp_path / "d", datasets(Series(4), Series(4).voxels(1))).scans
    assert first.fingerprint == moved.fingerprint != other.fingerprint


def test_one_bad_series_does_not_stop_the_others(tmp_path: Path) -> None:
    for number, defect in enumerate(DEFECTS[:12]):
        written(tmp_path / f"{number}", defect, "ct-axial")
        for path in (tmp_path / f"{number}").iterdir():
            content = path.read_bytes()
            path.write_bytes(
                content.replace(
                    b"10.1511.1\0", b"10.151%s.1\0" % b"abcdefghijkl"[number : number + 1]
                )
            )
    (tmp_path / "garbage").write_bytes(bytes(128) + b"DICM" + bytes(range(256)) * 9)
    found = find([tmp_path])
    assert sum(defect.scans for defect in DEFECTS[:12]) == len(found.scans)


def test_references_travel_between_processes(tmp_path: Path) -> None:
    (ref,) = found_in(tmp_path, datasets(Series(4))).scans
    again_there = pickle.loads(pickle.dumps(ref))
    np.testing.assert_array_equal(load(again_there).image, load(ref).image)


def test_files_that_vanish_are_a_reason(tmp_path: Path) -> None:
    from fedvox.client.ingest.reasons import Quarantined

    (ref,) = found_in(tmp_path / "gone", datasets(Series(4))).scans
    shutil.rmtree(tmp_path / "gone")
    with pytest.raises(Quarantined) as caught:
        load(ref)
    assert caught.value.reason is Reason.UNREADABLE
    assert "gone" not in str(caught.value)


def test_only_the_allow_list_is_kept(tmp_path: Path) -> None:
    (scan,) = scans_of(tmp_path, datasets(Series(3)))
    assert dict(scan.technical) == {
        "modality": "CT",
        "manufacturer": "fedvox",
        "model": "phantom",
        "kvp_kv": 120.0,
        "slice_thickness_mm": 2.5,
        "sex": "F",
        "age_years": 61.0,
    }
    assert "PAT-1" not in repr(scan)


def test_a_deflated_multi_frame_object_is_inflated_once(tmp_path: Path) -> None:
    series = Series(400, 64, 64)
    whole = enhanced(series)
    whole.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    (ref,) = found_in(tmp_path, [whole]).scans
    begun = time.perf_counter()
    scan = load(ref)
    assert time.perf_counter() - begun < 2
    np.testing.assert_array_equal(scan.image[0], series.voxels().transpose(2, 1, 0) - 1024)


def test_tomosynthesis_is_a_volume_and_a_cine_is_not(tmp_path: Path) -> None:
    whole = enhanced(Series(5, modality="MR"))
    whole.Modality = "MG"
    (scan,) = scans_of(tmp_path / "tomosynthesis", [whole])
    assert scan.image.shape[3] == 5
    del whole.PerFrameFunctionalGroupsSequence, whole.SharedFunctionalGroupsSequence
    found = found_in(tmp_path / "cine", [whole])
    assert [aside.reason for aside in found.set_aside] == [Reason.NO_GEOMETRY]


def test_a_mosaic_is_not_taken_for_a_slice(tmp_path: Path) -> None:
    extras = {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}
    found = found_in(tmp_path, datasets(Series(3, modality="MR", extras=extras)))
    assert [aside.reason for aside in found.set_aside] == [Reason.NO_GEOMETRY]


def test_pet_that_lacks_its_last_slices_is_noticed(tmp_path: Path) -> None:
    slices = datasets(Series(6, modality="PT", extras={"NumberOfSlices": 6}))
    assert len(found_in(tmp_path / "whole", slices).scans) == 1
    found = found_in(tmp_path / "cut", slices[:4])
    assert [aside.reason for aside in found.set_aside] == [Reason.MISSING_SLICES]


def test_frames_that_share_one_position_are_not_taken_for_their_first(tmp_path: Path) -> None:
    (ds,) = datasets(Series(1))
    ds.NumberOfFrames, ds.PixelData = 4, ds.PixelData * 4
    found = found_in(tmp_path, [ds])
    assert [aside.reason for aside in found.set_aside] == [Reason.NO_GEOMETRY]


@pytest.mark.parametrize("modality", ["CT", "MR", "PT"])
def test_what_highdicom_converts_to_multi_frame_is_the_same_scan(
    modality: str, tmp_path: Path
) -> None:
    legacy = pytest.importorskip("highdicom.legacy")
    kind = {"CT": "CT", "MR": "MR", "PT": "PET"}[modality]
    slices = datasets(Series(5, modality=modality, extras=_TOLD))
    for index, ds in enumerate(slices):
        ds.RescaleSlope, ds.RescaleIntercept = 2 + index * (modality == "PT"), 0
        if modality == "PT":
            ds.Units, ds.DecayCorrection, ds.PatientWeight = "BQML", "ADMIN", 70
            given = Dataset()
            given.RadionuclideTotalDose, given.RadionuclideHalfLife = 370e6, 6586.2
            ds.RadiopharmaceuticalInformationSequence = [given]
    converted = getattr(legacy, f"LegacyConvertedEnhanced{kind}Image")(
        slices, f"{ROOT}.80", 5, f"{ROOT}.80.1", 1
    )
    (one,), (other,) = scans_of(tmp_path / "a", slices), scans_of(tmp_path / "b", [converted])
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_allclose(one.affine, other.affine)
    assert (one.flags, one.technical) == (other.flags, other.technical)


_TOLD = {
    "StudyID": "1", "AccessionNumber": "", "PatientBirthDate": "", "ReferringPhysicianName": "",
    "AcquisitionDate": "20200102", "AcquisitionTime": "101112", "WindowCenter": 40,
    "WindowWidth": 400,
}  # fmt: skip
"""What highdicom wants to know."""
