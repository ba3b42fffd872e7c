"""A trainer's holdings follow the site's data set from version to version."""

from pathlib import Path

import pytest
from datasets import PATIENTS, add, dataset
from small import tiny
from trainers import approve, groups, new_home, train

from fedvox.client.dataset.intake import Intake
from fedvox.client.dataset.places import Place
from fedvox.client.trainer.data import open_holdings
from fedvox.client.trainer.dataset_data import NewestVersion
from fedvox.client.trainer.office import Office
from fedvox.common.tasks.task import initial_weights

STUDY = ("data.test=0.2", "data.validation=0.0")


def grow(home: Path) -> None:
    with Intake(Place(home, "d")) as intake:
        for number in range(6, 12):
            add(intake, number, PATIENTS[number])
        intake.form_version()


def test_a_new_version_is_seen_without_a_restart(tmp_path: Path) -> None:
    dataset(tmp_path)
    study, holdings = tiny(*STUDY), open_holdings(tmp_path, "dataset:d")
    assert isinstance(holdings, NewestVersion)
    before = holdings.roster(study)
    assert holdings.roster(study) is before
    store = holdings.store(holdings.contract(study))
    assert holdings.store(holdings.contract(study)) is store
    first = holdings.version(study)
    grow(tmp_path)
    after = holdings.roster(study)
    assert sum(after.patients.values()) > sum(before.patients.values())
    assert holdings.version(study) != first
    later = holdings.store(holdings.contract(study))
    assert all(key in later for keys in after.keys.values() for key in keys)


@pytest.mark.parametrize("mode", ["none", "patient"])
def test_a_round_on_a_data_set(tmp_path: Path, mode: str) -> None:
    home = new_home(tmp_path, "dataset:d")
    dataset(home)
    study = tiny(*STUDY, f"privacy.mode={mode}", "privacy.noise_multiplier=30.0")
    approve(home, study)
    (home / "run").mkdir()
    office = Office("berlin", home, open_holdings(home, "dataset:d"), lambda kind, fields: None)
    office.open()
    weights = initial_weights(study)
    head = train(study, 1, weights)
    first = office.answer(head, lambda most: groups(weights), lambda: True)
    assert first.head.refusal is None
    assert office.answer(head, lambda most: groups(weights), lambda: True) == first
    grow(home)
    # Another version has another ledger; what was released is not done and charged again in it.
    assert office.answer(head, lambda most: groups(weights), lambda: True) == first
    second = office.answer(train(study, 2, weights), lambda most: groups(weights), lambda: True)
    assert second.head.refusal is None
    ledgers = sorted(path.stem for path in home.glob("ledger/d/*.sqlite"))
    assert len(ledgers) == (2 if mode == "patient" else 0)
