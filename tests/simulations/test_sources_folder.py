from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from fedvox.client.ingest.volumes.formats import stem
from fedvox.common.errors import DataError
from fedvox.common.study import load_study
from fedvox.common.volume import Aside, CaseError
from fedvox.simulations.sources import open_source
from fedvox.simulations.sources.files import read_case

SHARED = Path(os.environ.get("FEDVOX_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
AFFINE = np.array([[-2.0, 0, 0, 10], [0, 0, 3.0, -5], [0, 1.5, 0, 7], [0, 0, 0, 1]])


def opened(folder: Path, *settings: str):
    study = load_study(settings=settings)
    source = open_source(str(folder), study)
    study = load_study(settings=settings, defaults=source.suggests())
    return open_source(str(folder), study), study


def volume(seed: int, shape=(6, 7, 8)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 100, shape).astype(np.float32), rng.integers(0, 3, shape).astype(np.uint8)


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith((".nii", ".nii.gz")):
        nibabel.save(nibabel.Nifti1Image(array, affine), path)
        return
    image = sitk.GetImageFromArray(array.transpose(2, 1, 0))
    lps = np.diag([-1.0, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    sitk.WriteImage(image, str(path))


def plain(folder: Path, cases: int, suffix: str = ".nii.gz") -> Path:
    for number in range(cases):
        image, label = volume(number)
        save(folder / "images" / f"c{number}{suffix}", image)
        save(folder / "labels" / f"c{number}{suffix}", label)
    return folder


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha", ".mhd"])
def test_every_format_comes_back_in_ras(tmp_path: Path, suffix):
    source, _ = opened(plain(tmp_path / "set", 2, suffix))
    assert [ref.case for ref in source.cases()] == ["c0", "c1"]
    assert source.aside() == ()
    for number, ref in enumerate(source.cases()):
        found, (image, label) = source.load(ref), volume(number)
        assert np.array_equal(found.image, image[None])
        assert np.array_equal(found.label, label)
        assert np.allclose(found.affine, AFFINE, atol=1e-6)
        assert found.image.dtype == np.float32
        assert found.label.dtype == np.int32


def test_msd_layout_names_classes_and_channels(tmp_path: Path):
    rng = np.random.default_rng(0)
    image = rng.normal(size=(36, 50, 33, 2)).astype(np.float32)
    label = rng.integers(0, 3, (36, 50, 33)).astype(np.uint8)
    save(tmp_path / "imagesTr/a.nii.gz", image)
    save(tmp_path / "labelsTr/a.nii.gz", label)
    told = {
        "labels": {"0": "background", "1": "oedema", "2": "tumour"},
        "modality": {"0": "FLAIR", "1": "T1w"},
        "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(told))
    source, study = opened(tmp_path)
    assert study.task.classes == ("background", "oedema", "tumour")
    assert (study.data.channels, study.data.patch) == (2, (32, 48, 32))
    assert study.data.label_map == {}
    found = source.load(source.cases()[0])
    assert np.array_equal(found.image, np.moveaxis(image, -1, 0))


def test_sparse_label_values_are_mapped_to_classes(tmp_path: Path):
    image, label = volume(0)
    save(tmp_path / "images/a.nii.gz", image)
    save(tmp_path / "labels/a.nii.gz", (label > 0).astype(np.uint8) * 255)
    _, study = opened(tmp_path)
    assert study.task.classes == ("background", "label-255")
    assert study.data.label_map == {"0": 0, "255": 1}


def test_two_dimensional_images(tmp_path: Path):
    image, label = volume(1, (20, 33, 1))
    save(tmp_path / "images/a.nii.gz", image)
    save(tmp_path / "labels/a.nii.gz", label)
    source, study = opened(tmp_path)
    assert (study.data.dims, study.data.patch) == (2, (16, 32))
    found = source.load(source.cases()[0])
    assert np.array_equal(found.image, image[None, :, :, 0])
    assert np.array_equal(found.label, label[:, :, 0])


def test_differing_spacings_and_orientations_are_levelled(tmp_path: Path):
    for number, mm in enumerate((1.0, 1.0, 2.5)):
        image, label = volume(number)
        affine = np.diag([mm if number else -mm, 1, 1, 1])
        save(tmp_path / f"images/c{number}.nii.gz", image, affine)
        save(tmp_path / f"labels/c{number}.nii.gz", label, affine)
    _, study = opened(tmp_path)
    assert study.data.spacing == (1.0, 1.0, 1.0)
    assert study.data.orientation == "RAS"


def test_what_cannot_be_used_is_set_aside_with_its_reason(tmp_path: Path):
    plain(tmp_path, 9)
    images, labels = tmp_path / "images", tmp_path / "labels"
    (labels / "c1.nii.gz").unlink()
    (images / "c2.nii.gz").write_bytes(b"not an image")
    save(labels / "c3.nii.gz", volume(3)[1][:-1])
    save(labels / "c4.nii.gz", volume(4)[1], AFFINE + np.diag([0.02, 0, 0, 0]))
    save(labels / "c5.nii.gz", volume(5)[1] + np.float32(0.5))
    save(images / "c6.nii.gz", np.full((6, 7, 8), np.nan, dtype=np.float32))
    shutil.copy(images / "c0.nii.gz", images / "c7.nii.gz")
    whole = (images / "c8.nii.gz").read_bytes()
    (images / "c8.nii.gz").write_bytes(whole[: len(whole) // 2])
    source, _ = opened(tmp_path)
    found = {case: error.reason for case, error in source.aside()}
    assert found == {"c1": Aside.NO_LABEL, "c7": Aside.DUPLICATE}
    reasons = {}
    for ref in source.cases():
        try:
            source.load(ref)
        except CaseError as error:
            reasons[ref.case] = error.reason
    assert reasons == {
        "c2": Aside.UNREADABLE, "c3": Aside.GEOMETRY, "c4": Aside.GEOMETRY,
        "c5": Aside.LABEL_VALUE, "c6": Aside.NOT_FINITE, "c8": Aside.UNREADABLE,
    }  # fmt: skip


def test_small_differences_are_none(tmp_path: Path):
    image, label = volume(0)
    image[0, 0, 0] = np.nan
    save(tmp_path / "i.nii", image)
    save(tmp_path / "l.nii", label.astype(np.float32) + 1e-4, AFFINE + 5e-3)
    found = read_case(tmp_path / "i.nii", tmp_path / "l.nii", 3)
    assert np.array_equal(found.label, label)
    assert found.image[0, 0, 0, 0] == np.nanmin(image)


def test_the_same_case_twice_and_missing_files_in_msd_layout(tmp_path: Path):
    plain(tmp_path, 2)
    item = {"image": "images/c0.nii.gz", "label": "labels/c0.nii.gz"}
    gone = {"image": "images/gone.nii.gz", "label": "labels/c0.nii.gz"}
    told = {"labels": {"0": "b", "1": "x", "2": "y"}, "training": [item, item, gone]}
    (tmp_path / "dataset.json").write_text(json.dumps(told))
    source, _ = opened(tmp_path)
    assert [ref.case for ref in source.cases()] == ["c0"]
    assert [(c, e.reason) for c, e in source.aside()] == [
        ("c0", Aside.DUPLICATE),
        ("gone", Aside.UNREADABLE),
    ]


def test_cases_csv_gives_patients_and_columns(tmp_path: Path):
    plain(tmp_path, 3)
    table = "case,patient,vendor\nc0.nii.gz,P1,A\nc1,P1,A\nc9,P2,B\n"
    (tmp_path / "cases.csv").write_text(table)
    source, _ = opened(tmp_path)
    assert [(r.case, r.patient, dict(r.columns)) for r in source.cases()] == [
        ("c0", "P1", {"vendor": "A"}),
        ("c1", "P1", {"vendor": "A"}),
        ("c2", "c2", {}),
    ]
    assert [case for case, _ in source.aside()] == ["c9"]


def test_participants_tsv_matches_by_the_start_of_the_name(tmp_path: Path):
    for name in ("sub-1_T1w", "sub-1_run-2_T1w", "sub-10_T1w"):
        image, label = volume(len(name))
        save(tmp_path / f"images/{name}.nii.gz", image)
        save(tmp_path / f"labels/{name}.nii.gz", label)
    (tmp_path / "participants.tsv").write_text("participant_id\tsite\nsub-1\tX\nsub-10\tY\n")
    source, _ = opened(tmp_path)
    assert {r.case: (r.patient, r.columns["site"]) for r in source.cases()} == {
        "sub-1_T1w": ("sub-1", "X"),
        "sub-1_run-2_T1w": ("sub-1", "X"),
        "sub-10_T1w": ("sub-10", "Y"),
    }


def test_a_column_class_makes_it_classification(tmp_path: Path):
    plain(tmp_path, 4)
    shutil.rmtree(tmp_path / "labels")
    text = "case,class\nc0,normal\nc1,tuberculosis\nc2,pneumonia\nc3,\n"
    (tmp_path / "cases.csv").write_text(text)
    source, study = opened(tmp_path)
    assert study.task.kind == "classification"
    assert study.task.classes == ("normal", "pneumonia", "tuberculosis")
    assert [source.load(ref).label for ref in source.cases()] == [0, 2, 1]
    assert [(c, e.reason) for c, e in source.aside()] == [("c3", Aside.NO_LABEL)]
    classes = 'task.classes=["pneumonia", "normal"]'
    source, _ = opened(tmp_path, classes, "task.kind=classification")
    assert [source.load(ref).label for ref in source.cases()] == [1, 0]


def test_fingerprints_change_with_the_files(tmp_path: Path):
    source, _ = opened(plain(tmp_path, 2))
    first = [source.fingerprint(ref) for ref in source.cases()]
    assert first == [source.fingerprint(ref) for ref in source.cases()]
    os.utime(tmp_path / "labels/c0.nii.gz", (1, 1))
    assert source.fingerprint(source.cases()[0]) != first[0]
    assert source.fingerprint(source.cases()[1]) == first[1]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "neither dataset.json"),
        ({"dataset.json": "{"}, "MSD layout"),
        ({"dataset.json": '{"training": []}'}, "no usable case"),
        ({"images/readme.txt": ""}, "no usable case"),
        ({"images/readme.txt": "", "cases.csv": "name\n"}, "needs a column 'case'"),
        ({"images/readme.txt": "", "cases.csv": "case\na\na\n"}, "line 3: 'a' stands twice"),
    ],
)
def test_folders_that_cannot_be_read_are_explained(tmp_path: Path, files, says):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=says):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("spec", "says"),
    [("phantoms", "did you mean 'phantom'"), ("mds:Task04_Hippocampus", "did you mean 'msd:NAME'")],
)
def test_unknown_sources_are_explained(spec, says):
    with pytest.raises(DataError, match=says):
        open_source(spec, load_study())


def test_names():
    assert stem("x/a.b.NII.GZ") == "a.b"
    assert stem("scan.1") == "scan.1"


@pytest.mark.skipif(not (SHARED / "hippocampus").is_dir(), reason="no shared data here")
def test_the_hippocampus():
    source, study = opened(SHARED / "hippocampus")
    assert (source.name, len(source.cases()), source.aside()) == ("hippocampus", 200, ())
    assert study.task.classes == ("background", "Anterior", "Posterior")
    assert {r.columns["regime"] for r in source.cases()} == {"A_uint8", "B_float_lo", "C_float_hi"}
    found = source.load(source.cases()[0])
    assert found.image.shape == (1, 35, 51, 35)
    assert set(np.unique(found.label)) == {0, 1, 2}


@pytest.mark.skipif(not (SHARED / "nrrd").is_dir(), reason="no shared data here")
def test_nrrd_with_lesion_masks():
    found = read_case(SHARED / "nrrd/breast1_image.nrrd", SHARED / "nrrd/breast1_label.nrrd", 3)
    assert found.image.shape == (1, 45, 120, 21)
    assert found.label.any()
    assert np.allclose(np.linalg.norm(found.affine[:3, :3], axis=0), (0.664062, 0.664062, 2.1))


@pytest.mark.parametrize("suffix", [".gipl", ".hdr", ".nhdr"])
def test_formats_that_a_site_reads_are_read_here(tmp_path: Path, suffix: str):
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    image, label = volume(0)
    for folder, array in (("images", image), ("labels", label)):
        path = tmp_path / folder / f"a{suffix}"
        path.parent.mkdir()
        if suffix == ".hdr":
            nibabel.save(nibabel.Nifti1Pair(array, affine), path.with_suffix(".img"))
        else:
            save(path, array, affine)
    source, study = opened(tmp_path)
    assert (study.data.dims, study.data.channels) == (3, 1)
    found = source.load(source.cases()[0])
    assert np.array_equal(found.image, image[None])
    assert np.array_equal(found.label, label)
    assert np.allclose(found.affine, affine)


def test_voxels_beside_a_header_count_for_its_fingerprint(tmp_path: Path):
    source, _ = opened(plain(tmp_path, 1, ".mhd"))
    (ref,) = source.cases()
    first = source.fingerprint(ref)
    os.utime(next((tmp_path / "images").glob("*raw")), (1, 1))
    assert source.fingerprint(ref) != first
