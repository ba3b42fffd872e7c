"""From files to a dataset: counts, labels, pseudonyms, tasks, what is set aside."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from command import fedvox
from dicom_series import Series, datasets, write

from fedvox.client.dataset.dataset import Dataset
from fedvox.client.ingest.reasons import Reason

FIELDS = {
    "dataset", "fingerprint", "ingested", "unchanged", "labelled", "quarantined", "files_read",
    "wall_s", "version",
}  # fmt: skip


def ingested(home: Path, *words: str | Path, status: int = 0) -> dict[str, object]:
    said = fedvox("site", "ingest", *words, "--dataset", "d", "--home", home, "--json")
    assert said.status == status, said.err
    found: dict[str, object] = json.loads(said.out.splitlines()[-1])
    return found


def scan(folder: Path, number: int, patient: str, **changes: object) -> Series:
    series = Series(6, 16, 14, number=number, patient=patient, extras=changes)
    write(folder, datasets(series, series.voxels(number)))
    return series


def test_the_contract_for_scripts(tmp_path: Path) -> None:
    scan(tmp_path / "in" / "a", 1, "PAT-1")
    scan(tmp_path / "in" / "b", 2, "PAT-2")
    scan(tmp_path / "in" / "c", 3, "")
    outcome = ingested(tmp_path, tmp_path / "in")
    assert set(outcome) == FIELDS
    assert (outcome["ingested"], outcome["unchanged"], outcome["labelled"]) == (2, 0, 0)
    assert outcome["quarantined"] == {"no-patient": 1}
    assert (outcome["files_read"], outcome["dataset"]) == (18, "d")
    again = ingested(tmp_path, tmp_path / "in")
    assert (again["ingested"], again["unchanged"]) == (0, 2)
    assert again["quarantined"] == {"no-patient": 1}
    assert again["fingerprint"] == outcome["fingerprint"]


def test_nothing_to_read_is_status_two(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert ingested(tmp_path, tmp_path / "in", status=2)["files_read"] == 0
    (tmp_path / "in" / "notes.txt").write_text("nothing")
    assert ingested(tmp_path, tmp_path / "in", status=2)["quarantined"] == {"not-an-image": 1}
    said = fedvox("site", "ingest", tmp_path / "none", "--dataset", "d", "--home", tmp_path)
    assert said.status == 2 and "not there" in said.err
    scan(tmp_path / "in", 1, "")  # all set aside, but read
    assert set(ingested(tmp_path, tmp_path / "in")["quarantined"]) == {  # type: ignore[call-overload]
        "no-patient",
        "not-an-image",
    }


def test_voxels_and_geometry_arrive(tmp_path: Path) -> None:
    series = scan(tmp_path / "in", 1, "PAT-1")
    ingested(tmp_path, tmp_path / "in")
    held = Dataset.open(tmp_path, "d")
    content = held.content(held.cases()[0])
    np.testing.assert_allclose(content.affine, series.affine, atol=1e-3)
    expected = series.voxels(1).transpose(2, 1, 0)[None].astype(np.float32) - 1024
    np.testing.assert_array_equal(np.asarray(content.image, np.float32), expected)


def test_one_patient_has_one_pseudonym_over_imports_and_datasets(tmp_path: Path) -> None:
    scan(tmp_path / "a", 1, "PAT-1")
    scan(tmp_path / "b", 2, "PAT-1 ")
    scan(tmp_path / "b2", 3, "PAT-2")
    ingested(tmp_path, tmp_path / "a")
    ingested(tmp_path, tmp_path / "b", tmp_path / "b2")
    people = Dataset.open(tmp_path, "d").patients()
    assert sorted(len(cases) for cases in people.values()) == [1, 2]
    fedvox("site", "ingest", tmp_path / "a", "--dataset", "e", "--home", tmp_path)
    (again,) = Dataset.open(tmp_path, "e").patients()
    assert len(people[again]) == 2
    fedvox("site", "ingest", tmp_path / "a", "--dataset", "d", "--home", tmp_path / "other")
    assert set(Dataset.open(tmp_path / "other", "d").patients()).isdisjoint(people)


def masks(folder: Path, *numbers: int, patient: str = "case") -> None:
    """NIfTI images with masks beside them, as the Decathlon lays them out."""
    for number in numbers:
        rng = np.random.default_rng(number)
        image = rng.normal(size=(9, 8, 7)).astype(np.float32)
        label = (image > 1).astype(np.int16) * (1 + number % 2)
        for kind, voxels in (("imagesTr", image), ("labelsTr", label)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            path = folder / kind / f"{patient}{number}.nii.gz"
            nibabel.save(nibabel.Nifti1Image(voxels, np.diag([2.0, 2.0, 3.0, 1.0])), path)


def test_masks_arrive_with_their_images(tmp_path: Path) -> None:
    masks(tmp_path / "in", 1, 2, 3)
    outcome = ingested(tmp_path, tmp_path / "in/imagesTr", "--labels", tmp_path / "in/labelsTr")
    assert (outcome["ingested"], outcome["labelled"]) == (3, 3)
    held = Dataset.open(tmp_path, "d")
    found = {}
    for case in held.cases():
        volume = held.load(case)
        assert isinstance(volume.label, np.ndarray)
        np.testing.assert_array_equal(volume.label > 0, volume.image[0] > 1)
        found[case.key] = int(volume.label.max())
    assert sorted(found.values()) == [1, 2, 2]
    again = ingested(tmp_path, tmp_path / "in/imagesTr", "--labels", tmp_path / "in/labelsTr")
    assert (again["unchanged"], again["labelled"]) == (3, 3)
    without = ingested(tmp_path, tmp_path / "in/imagesTr")
    assert (without["unchanged"], without["labelled"]) == (3, 3)  # a label is not lost


def test_a_label_that_changed_is_a_new_case(tmp_path: Path) -> None:
    masks(tmp_path / "in", 1, 2)
    words = [tmp_path / "in/imagesTr", "--labels", tmp_path / "in/labelsTr"]
    first = ingested(tmp_path, *words)
    path = tmp_path / "in/labelsTr/case1.nii.gz"
    voxels = np.zeros((9, 8, 7), np.int16)
    voxels[4, 4, 4] = 1
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([2.0, 2.0, 3.0, 1.0])), path)
    second = ingested(tmp_path, *words)
    assert (second["ingested"], second["unchanged"]) == (1, 1)
    assert second["fingerprint"] != first["fingerprint"]
    assert Dataset.open(tmp_path, "d").version.cases == 2


def test_a_label_that_comes_later_is_added(tmp_path: Path) -> None:
    masks(tmp_path / "in", 1, 2)
    assert ingested(tmp_path, tmp_path / "in/imagesTr")["labelled"] == 0
    later = ingested(tmp_path, tmp_path / "in/imagesTr", "--labels", tmp_path / "in/labelsTr")
    assert (later["ingested"], later["labelled"]) == (2, 2)
    held = Dataset.open(tmp_path, "d")
    assert {case.facts.label for case in held.cases()} == {"map"}


def test_a_task_sets_aside_what_has_no_such_label(tmp_path: Path) -> None:
    masks(tmp_path / "in", 1, 2, 3)
    (tmp_path / "in/labelsTr/case2.nii.gz").unlink()
    words = [tmp_path / "in/imagesTr", "--labels", tmp_path / "in/labelsTr"]
    outcome = ingested(tmp_path, *words, "--task", "segmentation")
    assert (outcome["ingested"], outcome["quarantined"]) == (2, {"no-label": 1})
    assert ingested(tmp_path, *words, "--task", "classification")["ingested"] == 0
    said = fedvox(
        "site", "ingest", *words, "--dataset", "d", "--home", tmp_path, "--task", "segmentaton"
    )
    assert said.status == 2 and "did you mean 'segmentation'" in said.err


def test_classes_from_a_table(tmp_path: Path) -> None:
    masks(tmp_path / "in", 1, 2)
    table = tmp_path / "in" / "classes.csv"
    table.write_text("patient,class\ncase1,benign\ncase2,malignant\n")
    outcome = ingested(tmp_path, tmp_path / "in/imagesTr", "--labels", table)
    assert outcome["labelled"] == 2
    held = Dataset.open(tmp_path, "d")
    assert held.class_names == ("benign", "malignant")


def test_a_withdrawn_patient_is_not_read_again(tmp_path: Path) -> None:
    scan(tmp_path / "in" / "a", 1, "PAT-1")
    scan(tmp_path / "in" / "b", 2, "PAT-2")
    ingested(tmp_path, tmp_path / "in")
    held = Dataset.open(tmp_path, "d")
    patient = next(iter(held.patients()))
    done = json.loads(fedvox("site", "withdraw", patient, "--home", tmp_path, "--json").out)
    assert done["datasets"]["d"]["cases"] == 1 and done["studies"] == []
    outcome = ingested(tmp_path, tmp_path / "in")
    assert (outcome["unchanged"], outcome["quarantined"]) == (1, {"withdrawn": 1})
    assert len(held.place.case_files()) == 1
    fresh = fedvox(
        "site", "ingest", tmp_path / "in", "--dataset", "n", "--home", tmp_path, "--json"
    )
    assert json.loads(fresh.out)["quarantined"] == {"withdrawn": 1}


def test_every_reason_can_be_told() -> None:
    for reason in Reason:
        assert reason.sentence and reason.remedy


@pytest.mark.parametrize("bad", ["liver", "=1", "liver=x"])
def test_a_structure_that_is_none_is_told(tmp_path: Path, bad: str) -> None:
    words = ["--dataset", "d", "--home", tmp_path, "--structure", bad]
    said = fedvox("site", "ingest", tmp_path, *words)
    assert said.status == 2 and "NAME=VALUE" in said.err
