"""Which label goes to which scan, and what is said where that is not clear."""

import csv
import os
import shutil
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
from dicom_series import ROOT, Series, write
from labelled import OBLIQUE, circle, on_slice, write_rtstruct, write_seg, written
from pydicom import dcmread

from fedvox.client.ingest.labels.by_name import called_after, names_of
from fedvox.client.ingest.labels.gather import gather
from fedvox.client.ingest.labels.label import Label, LabelKind
from fedvox.client.ingest.labels.match import Matched, match
from fedvox.client.ingest.labels.reading import read_label
from fedvox.client.ingest.reading.find import find, load
from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.scan import ScanRef
from fedvox.client.ingest.volumes.naming import named

SHARED = Path(os.environ.get("FEDVOX_TEST_DATA") or Path(__file__).parents[5] / "shared" / "data")
CT = Series(slices=5, rows=14, columns=12)
AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


def matched(folder: Path, labels: Path | None = None, **more: str) -> tuple[list[ScanRef], Matched]:
    found = find([folder])
    return list(found.scans), match(
        found.scans, gather(found, find([labels]) if labels else None, **more)
    )


def label_of(ref: ScanRef, found: Matched, wanted: dict[str, int] | None = None) -> Label:
    return read_label(load(ref), found.of(ref), wanted)


def reason_of(ref: ScanRef, found: Matched, wanted: dict[str, int] | None = None) -> Reason:
    with pytest.raises(Quarantined) as why:
        label_of(ref, found, wanted)
    return why.value.reason


def nifti(path: Path, seed: int = 0, kind: type = np.int16, shape=(6, 5, 4)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.random.default_rng(seed).integers(0, 3, shape).astype(kind)
    nibabel.save(nibabel.Nifti1Image(voxels, AFFINE), path)
    return path


def _masks(series: Series, where: int) -> np.ndarray:
    masks = np.zeros((series.slices, series.rows, series.columns), np.uint8)
    masks[where] = 1
    return masks


def test_segmentations_go_to_the_series_they_name(tmp_path: Path):
    for number in (1, 2):
        series = Series(slices=5, rows=14, columns=12, number=number)
        images = written(tmp_path / f"s{number}", series)
        write_seg(tmp_path / f"seg{number}.dcm", images, _masks(series, number))
    scans, found = matched(tmp_path)
    assert len(scans) == 2
    for ref in scans:
        number = int(ref.series_uid.rpartition(".")[2])
        assert np.flatnonzero(label_of(ref, found).map.any(axis=(0, 1))).tolist() == [number]
    assert not found.set_aside


def test_labels_may_lie_elsewhere(tmp_path: Path):
    images = written(tmp_path / "ct", CT)
    write_seg(tmp_path / "labels" / "seg.dcm", images, _masks(CT, 2))
    (ref,), found = matched(tmp_path / "ct", tmp_path / "labels")
    assert label_of(ref, found).map.sum() == 14 * 12


def test_contours_go_by_series_and_then_by_frame_of_reference(tmp_path: Path):
    written(tmp_path / "ct", OBLIQUE)
    outlines = {"x": [on_slice(OBLIQUE, circle(18, 20, 9), 3)]}
    path = write_rtstruct(tmp_path / "rt.dcm", OBLIQUE, outlines)
    (ref,), found = matched(tmp_path)
    assert [label.kind for label in found.of(ref)] == [LabelKind.RTSTRUCT]
    expected = label_of(ref, found).map
    assert 200 < expected.sum() < 300
    ds = dcmread(path)
    del ds.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence
    ds.save_as(path)
    (ref,), found = matched(tmp_path)
    assert np.array_equal(label_of(ref, found).map, expected)


def test_of_contours_in_two_frames_only_those_of_the_scan_are_its_own(tmp_path: Path):
    written(tmp_path / "ct", OBLIQUE)
    outlines = {name: [on_slice(OBLIQUE, circle(18, 20, 9), at)] for at, name in enumerate("ab", 3)}
    path = write_rtstruct(tmp_path / "rt.dcm", OBLIQUE, outlines)
    ds = dcmread(path)
    ds.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = f"{ROOT}.99"
    ds.save_as(path)
    (ref,), found = matched(tmp_path)
    assert label_of(ref, found).names == {2: "b"}


@pytest.mark.parametrize(
    "change",
    [
        lambda ds: setattr(ds, "PatientID", "ANOTHER"),
        lambda ds: setattr(ds, "FrameOfReferenceUID", f"{ROOT}.99"),
    ],
    ids=["patient", "frame"],
)
def test_a_label_that_names_the_series_but_another_patient_or_frame_is_refused(
    tmp_path: Path, change
):
    images = written(tmp_path / "ct", CT)
    write_seg(tmp_path / "seg.dcm", images, _masks(CT, 2))
    ds = dcmread(tmp_path / "seg.dcm")
    change(ds)
    ds.save_as(tmp_path / "seg.dcm")
    (ref,), found = matched(tmp_path)
    assert reason_of(ref, found) is Reason.LABEL_MISMATCH


def test_a_label_of_no_scan_is_set_aside_and_the_scan_has_none(tmp_path: Path):
    other = Series(
        slices=5, rows=14, columns=12, number=7, extras={"FrameOfReferenceUID": f"{ROOT}.7.7"}
    )
    images = written(tmp_path / "other", other)
    write_seg(tmp_path / "seg.dcm", images, _masks(other, 2))
    shutil.rmtree(tmp_path / "other")
    written(tmp_path / "ct", CT)
    (ref,), found = matched(tmp_path)
    assert reason_of(ref, found) is Reason.NO_LABEL
    assert [aside.reason for aside in found.set_aside] == [Reason.LABEL_MISMATCH]


def test_several_objects_of_different_structures_are_joined(tmp_path: Path):
    images = written(tmp_path / "ct", CT)
    for number, name in enumerate(("liver", "spleen", "cyst")):
        write_seg(tmp_path / f"{name}.dcm", images, _masks(CT, number), names=[name])
    (ref,), found = matched(tmp_path)
    label = label_of(ref, found)
    assert sorted(label.names.values()) == ["cyst", "liver", "spleen"]
    for number, name in enumerate(("liver", "spleen", "cyst")):
        value = next(value for value, its in label.names.items() if its == name)
        assert (label.map[:, :, number] == value).all()
    assert label_of(ref, found, {"liver": 1, "spleen": 1, "cyst": 2}).names == {
        1: "liver + spleen",
        2: "cyst",
    }


def test_two_labels_of_one_structure_are_refused(tmp_path: Path):
    images = written(tmp_path / "ct", CT)
    for reader in ("a", "b"):
        write_seg(tmp_path / f"{reader}.dcm", images, _masks(CT, 2), names=["liver"])
    (ref,), found = matched(tmp_path)
    assert reason_of(ref, found) is Reason.LABEL_MISMATCH
    assert reason_of(ref, found, {"liver": 1}) is Reason.LABEL_MISMATCH


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("imagesTr/c_01.nii.gz", "labelsTr/c_01.nii.gz"),
        ("imagesTr/c_01_0000.nii.gz", "labelsTr/c_01.nii.gz"),
        ("c_01.nii", "c_01_mask.nii.gz"),
        ("c_01_image.nii", "c_01_label.nii"),
        ("c_01.nii", "c_01-seg.nii"),
        ("c_01/image.nii", "c_01/mask.nii"),
        ("c_01/ct.nii", "c_01/ct_seg.nii"),
        ("c_01/ct.nii", "masks/c_01/ct.nii"),
        (
            "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
            "derivatives/x/sub-01/ses-1/anat/sub-01_ses-1_dseg.nii.gz",
        ),
        (
            "sub-01/anat/sub-01_T1w.nii.gz",
            "derivatives/x/sub-01/anat/sub-01_space-orig_label-lesion_mask.nii.gz",
        ),
    ],
)
def test_masks_by_the_names_of_files(tmp_path: Path, image: str, mask: str):
    nifti(tmp_path / image, 1)
    expected = np.asarray(nibabel.load(nifti(tmp_path / mask, 2)).dataobj)
    nifti(tmp_path / image.replace("01", "02"), 3)
    (one, two), found = matched(tmp_path)
    assert np.array_equal(label_of(one, found).map, expected)
    assert reason_of(two, found) is Reason.NO_LABEL
    assert not found.set_aside


def test_masks_in_a_folder_that_was_given_for_labels_need_no_special_name(tmp_path: Path):
    nifti(tmp_path / "a" / "p1.nii", 1)
    expected = np.asarray(nibabel.load(nifti(tmp_path / "b" / "p1.nii", 2)).dataobj)
    (ref,), found = matched(tmp_path / "a", tmp_path / "b")
    assert np.array_equal(label_of(ref, found).map, expected)


def test_a_mask_file_for_each_structure(tmp_path: Path):
    nifti(tmp_path / "p1.nii")
    for name in ("liver", "spleen"):
        voxels = np.zeros((6, 5, 4), np.uint8)
        voxels[: 2 if name == "liver" else 1] = 1
        (tmp_path / "masks").mkdir(exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(voxels, AFFINE), tmp_path / "masks" / f"p1_{name}.nii.gz")
    (ref,), found = matched(tmp_path)
    label = label_of(ref, found, {"liver": 1, "spleen": 2})
    assert label.map[:, 0, 0].tolist() == [2, 1, 0, 0, 0, 0]


def test_a_mask_whose_name_fits_two_scans_goes_to_the_one_with_its_grid(tmp_path: Path):
    nifti(tmp_path / "sub-1" / "anat" / "sub-1_T1w.nii", 1)
    nifti(tmp_path / "sub-1" / "anat" / "sub-1_FLAIR.nii", 2, shape=(7, 5, 4))
    nifti(tmp_path / "derivatives" / "x" / "sub-1" / "anat" / "sub-1_desc-tumour_mask.nii", 3)
    scans, found = matched(tmp_path)
    flair, t1 = sorted(scans, key=lambda ref: ref.files[0].name)
    assert label_of(t1, found).map.shape == (6, 5, 4)
    assert reason_of(flair, found) is Reason.LABEL_MISMATCH


def test_a_mask_for_a_dicom_series_is_called_by_the_patient(tmp_path: Path):
    written(tmp_path / "ct", CT)
    voxels = np.zeros((12, 14, 5), np.uint8)
    voxels[3:6] = 1
    nibabel.save(nibabel.Nifti1Image(voxels, CT.affine), tmp_path / "PAT-1_mask.nii.gz")
    (ref,), found = matched(tmp_path)
    assert np.array_equal(label_of(ref, found).map, voxels)


def test_classes_from_a_table(tmp_path: Path):
    written(tmp_path / "ct", CT)
    nifti(tmp_path / "p2.nii")
    nifti(tmp_path / "p3.nii")
    with (tmp_path / "classes.csv").open("w") as file:
        csv.writer(file).writerows(
            [["patient", "grade", "class"], ["PAT-1", "II", "benign"], ["p2", "III", "malignant"]]
        )
    scans, found = matched(tmp_path)
    classes = {ref.patient: label_of(ref, found).map for ref in scans if found.of(ref)}
    assert classes == {"PAT-1": "benign", "p2": "malignant"}
    scans, found = matched(tmp_path, column="Grade")
    assert {label_of(ref, found).map for ref in scans if found.of(ref)} == {"II", "III"}


def test_a_column_that_lists_masks_is_no_class_and_one_that_was_named_is(tmp_path: Path):
    nifti(tmp_path / "p1.nii")
    nifti(tmp_path / "p1_mask.nii")
    (tmp_path / "t.csv").write_text("image,label,grade\np1.nii,p1_mask.nii,II\n")
    (ref,), found = matched(tmp_path)
    assert not isinstance(label_of(ref, found).map, str)
    (tmp_path / "p1_mask.nii").unlink()
    (ref,), found = matched(tmp_path)
    assert reason_of(ref, found) is Reason.NO_LABEL
    nifti(tmp_path / "p1_mask.nii")
    (ref,), found = matched(tmp_path, column="grade")
    assert label_of(ref, found).map == "II"


def test_thousands_of_masks_are_matched_at_once(tmp_path: Path):
    scans = [
        ScanRef("volumes", "CT", (Path(f"/x/images/case_{n:05d}.nii"),), f"f{n}")
        for n in range(3000)
    ]
    names = names_of(scans)
    started = time.perf_counter()
    for number in range(3000):
        (hit,) = called_after(named(Path(f"/x/labels/case_{number:05d}.nii")), names)
        assert hit.scan is scans[number]
    assert time.perf_counter() - started < 2


def test_classes_from_a_dicom_attribute(tmp_path: Path):
    written(
        tmp_path / "ct", Series(slices=5, rows=14, columns=12, extras={"BodyPartExamined": "LUNG"})
    )
    (ref,), found = matched(tmp_path, attribute="BodyPartExamined")
    assert label_of(ref, found).map == "LUNG"
    (ref,), found = matched(tmp_path, attribute="PatientComments")
    assert reason_of(ref, found) is Reason.NO_LABEL


def test_fingerprints_follow_the_content(tmp_path: Path):
    nifti(tmp_path / "a" / "p1.nii", 1)
    nifti(tmp_path / "a" / "p1_mask.nii", 2)
    (ref,), found = matched(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (again,), same = matched(tmp_path / "b")
    assert ref.fingerprint == again.fingerprint
    assert found.of(ref)[0].fingerprint == same.of(again)[0].fingerprint
    nifti(tmp_path / "b" / "p1_mask.nii", 3)
    (again,), other = matched(tmp_path / "b")
    assert ref.fingerprint == again.fingerprint
    assert found.of(ref)[0].fingerprint != other.of(again)[0].fingerprint


def test_what_may_leave_names_nothing(tmp_path: Path):
    with pytest.raises(Quarantined) as why:
        nifti(tmp_path / "Doe^John.nii", 1)
        (tmp_path / "Doe^John_mask.nii").write_bytes(b"no")
        ref, found = matched(tmp_path)
        label_of(ref[0], found)
    assert "John" not in str(why.value)
    assert "John" not in repr(found)


@pytest.mark.skipif(
    not (SHARED / "hippocampus").is_dir(),
    reason="no shared data here: ../shared/data or FEDVOX_TEST_DATA",
)
def test_the_hippocampus_cases(tmp_path: Path):
    for name in ("imagesTr", "labelsTr"):
        (tmp_path / name).mkdir()
        for path in sorted((SHARED / "hippocampus" / name).glob("*.nii.gz"))[:6]:
            shutil.copy(path, tmp_path / name)
    for name in ("dataset.json", "cases.csv"):
        shutil.copy(SHARED / "hippocampus" / name, tmp_path)
    scans, found = matched(tmp_path)
    assert len(scans) == 6
    for ref in scans:
        label = label_of(ref, found)
        theirs = nibabel.load(tmp_path / "labelsTr" / ref.files[0].name)
        assert np.array_equal(label.map, np.asarray(theirs.dataobj))
        assert label.names == {1: "Anterior", 2: "Posterior"}


@pytest.mark.skipif(
    not (SHARED / "nrrd").is_dir(), reason="no shared data here: ../shared/data or FEDVOX_TEST_DATA"
)
def test_the_lesions_in_nrrd_files():
    scans, found = matched(SHARED / "nrrd")
    for ref in scans:
        import SimpleITK

        path = str(ref.files[0]).replace("_image", "_label")
        theirs = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path)).transpose(2, 1, 0)
        assert np.array_equal(label_of(ref, found).map, theirs)


def test_a_segmentation_of_an_x_ray_lies_on_it_pixel_for_pixel(tmp_path: Path):
    slices = written(tmp_path / "dx", Series(2, 14, 12, modality="DX"))
    for ds in slices:
        del ds.ImagePositionPatient, ds.ImageOrientationPatient, ds.FrameOfReferenceUID
    write(tmp_path / "dx", slices)
    masks = np.zeros((1, 14, 12), dtype=np.uint8)
    masks[0, 3:9, 2:5] = 1
    write_seg(tmp_path / "seg.dcm", slices[1:], masks)
    refs, found = matched(tmp_path)
    (ref,) = [ref for ref in refs if found.of(ref)]
    assert ref.sop_uids == (slices[1].SOPInstanceUID,)
    assert np.array_equal(label_of(ref, found).map[:, :, 0], masks[0].T)
    ds = dcmread(tmp_path / "seg.dcm")
    ds.Rows, ds.Columns = 12, 14
    ds.save_as(tmp_path / "seg.dcm")
    refs, found = matched(tmp_path)
    (ref,) = [ref for ref in refs if found.of(ref)]
    assert reason_of(ref, found) is Reason.LABEL_MISMATCH
