"""A dataset to read from."""

from pathlib import Path

import numpy as np
import pytest
from datasets import PATIENTS, add, content, dataset

from fedvox.client.dataset.dataset import Dataset, class_index
from fedvox.client.dataset.intake import Intake
from fedvox.client.dataset.places import Place
from fedvox.common.errors import DataError
from fedvox.common.volume import CaseError


def test_cases_load_as_volumes(tmp_path: Path) -> None:
    dataset(tmp_path)
    held = Dataset.open(tmp_path, "d")
    by_hand = {content(n).image.tobytes(): content(n) for n in range(6)}
    for case in held.cases():
        volume = held.load(case)
        made = by_hand.pop(volume.image.astype(np.int16).tobytes())
        assert volume.image.dtype == np.float32
        np.testing.assert_array_equal(volume.label, made.label)
    assert not by_hand


def test_patients_keep_their_cases_together(tmp_path: Path) -> None:
    dataset(tmp_path)
    people = Dataset.open(tmp_path, "d").patients()
    assert list(people) == PATIENTS[:5]
    assert [len(cases) for cases in people.values()] == [2, 1, 1, 1, 1]


def test_classes_are_numbered_by_the_study_or_by_name(tmp_path: Path) -> None:
    dataset(tmp_path, classes=("malignant", "benign"))
    held = Dataset.open(tmp_path, "d")
    assert held.class_names == ("benign", "malignant")
    for case in held.cases():
        name = case.facts.class_name
        assert held.load(case).label == ("benign", "malignant").index(name)
        assert held.load(case, ["x", "malignant", "benign"]).label == 1 + (name == "benign")
    assert class_index("7", ["a", "b"]) == 7
    with pytest.raises(CaseError, match="label-value"):
        class_index("cyst", ["a", "b"])


def test_a_projection_has_two_axes(tmp_path: Path) -> None:
    import dataclasses

    made = content(1)
    facts = dataclasses.replace(made.facts, shape=(1, 10, 10, 1), flags=("planar",))
    flat = dataclasses.replace(
        made,
        image=made.image[..., 4:5],
        label=made.label[..., 4:5],
        facts=facts,  # type: ignore[index]
    )
    with Intake(Place(tmp_path, "d")) as intake:
        assert not add(intake, 1, PATIENTS[0], flat)
        intake.form_version()
    held = Dataset.open(tmp_path, "d")
    volume = held.load(held.cases()[0])
    np.testing.assert_array_equal(volume.image, made.image[..., 4])
    assert volume.label.shape == (10, 10)  # type: ignore[union-attr]


def test_a_case_is_found_by_how_its_key_begins(tmp_path: Path) -> None:
    dataset(tmp_path)
    held = Dataset.open(tmp_path, "d")
    key = held.cases()[0].key
    assert held.case(key[:12]).key == key
    for bad in ("", "zz"):
        with pytest.raises(DataError, match="case"):
            held.case(bad)


def test_damage_is_named_and_stops_only_its_case(tmp_path: Path) -> None:
    dataset(tmp_path)
    held = Dataset.open(tmp_path, "d")
    assert held.damaged() == []
    first, second = held.cases()[:2]
    path = held.place.case(first.key)
    path.write_bytes(path.read_bytes()[:-5])
    held.place.case(second.key).unlink()
    assert held.damaged() == [first.key, second.key]
    for case in (first, second):
        with pytest.raises(CaseError, match="its file is gone"):
            held.load(case)


def test_an_import_that_never_ended_is_no_version(tmp_path: Path) -> None:
    with Intake(Place(tmp_path, "d")) as intake:
        add(intake, 1, PATIENTS[0])
    with pytest.raises(DataError, match="no import has come to an end"):
        Dataset.open(tmp_path, "d")
