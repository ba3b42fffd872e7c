"""What a dataset gives a study: splits that no patient leaves, prepared cases."""

from pathlib import Path

import numpy as np
from datasets import PATIENTS, add, content, dataset
from small import tiny

from fedvox.client.dataset.dataset import Dataset
from fedvox.client.dataset.holdings import DatasetHoldings
from fedvox.client.dataset.intake import Intake
from fedvox.client.dataset.places import Place
from fedvox.client.dataset.splits import split_of
from fedvox.common.study import contract_hash
from fedvox.common.tasks.task import task_for


def test_shares_are_met_and_every_patient_has_one_split() -> None:
    names = [f"P-{number}" for number in range(20000)]
    splits = [split_of(name, 7, 0.25, 0.1) for name in names]
    for split, share in (("test", 0.25), ("validation", 0.1), ("train", 0.65)):
        assert abs(splits.count(split) / len(names) - share) < 0.01
    assert splits == [split_of(name, 7, 0.25, 0.1) for name in names]
    assert splits != [split_of(name, 8, 0.25, 0.1) for name in names]
    assert {split_of(name, 7, 0.0, 0.0) for name in names} == {"train"}


def test_a_patient_keeps_his_split_over_versions_and_all_his_cases(tmp_path: Path) -> None:
    dataset(tmp_path)
    study = tiny("data.test=0.4", "data.validation=0.2")
    before = DatasetHoldings.open(tmp_path, "d").roster(study)
    with Intake(Place(tmp_path, "d")) as intake:
        for number in range(6, 12):
            add(intake, number, PATIENTS[number])
        intake.form_version()
    holdings = DatasetHoldings.open(tmp_path, "d")
    after = holdings.roster(study)
    assert holdings.version.startswith("2-")
    for split, people in before.people.items():
        assert set(people) <= set(after.people[split])
    assert sum(after.patients.values()) == 11
    every = [key for split in after.keys.values() for key in split]
    assert sorted(every) == [case.key for case in holdings.dataset.cases()]
    assert len([people for people in after.people.values() for p in people if len(p) == 2]) == 1


def test_cases_are_prepared_as_the_contract_wants_them_once(tmp_path: Path) -> None:
    dataset(tmp_path)
    study = tiny("data.spacing=[2, 2, 2]")
    holdings = DatasetHoldings.open(tmp_path, "d")
    roster = holdings.roster(study)
    store = holdings.store(holdings.contract(study))
    task, held = task_for(study), Dataset.open(tmp_path, "d")
    for key in (key for keys in roster.keys.values() for key in keys):
        by_hand = task.prepare(held.load(held.case(key)))
        np.testing.assert_array_equal(store.get(key).image, by_hand.image)
        np.testing.assert_array_equal(store.get(key).label, by_hand.label)
    files = {path: path.stat().st_mtime_ns for path in held.place.prepared.rglob("*.safetensors")}
    assert len(files) == 6
    holdings.roster(study)
    assert files == {path: path.stat().st_mtime_ns for path in files}
    holdings.roster(tiny())
    assert {path.name for path in held.place.prepared.iterdir()} == {
        contract_hash(study)[:24],
        contract_hash(tiny())[:24],
    }


def test_what_does_not_fit_the_study_is_left_out_and_counted(tmp_path: Path) -> None:
    import dataclasses

    dataset(tmp_path)
    strange = content(30)
    strange = dataclasses.replace(strange, label=strange.label * 9)  # type: ignore[operator]
    with Intake(Place(tmp_path, "d")) as intake:
        add(intake, 30, PATIENTS[9], strange)
        add(intake, 31, PATIENTS[10], content(31, class_name="a class"))
        intake.form_version()
    holdings = DatasetHoldings.open(tmp_path, "d")
    assert holdings.prepare(tiny()).aside == {"label-value": 2}
    assert sum(holdings.roster(tiny()).patients.values()) == 5
