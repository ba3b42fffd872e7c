"""A patient who is withdrawn leaves no voxel, and does not come back."""

import json
from pathlib import Path

import pytest
from datasets import PATIENTS, add, content, dataset
from ledgers import WIDE
from small import tiny

from fedvox.client.dataset.caches import key_in_simulations
from fedvox.client.dataset.dataset import Dataset
from fedvox.client.dataset.holdings import DatasetHoldings
from fedvox.client.dataset.intake import Intake
from fedvox.client.dataset.manifest import Manifest
from fedvox.client.dataset.places import Place
from fedvox.client.dataset.withdrawal import withdraw
from fedvox.client.ledger.versions import open_ledger
from fedvox.client.ledger.work import Work, WorkId
from fedvox.common.errors import InputError, ResourceError
from fedvox.common.privacy.charge import Charge
from fedvox.common.study import study_hash


def contents(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_no_voxel_is_left(tmp_path: Path) -> None:
    dataset(tmp_path)
    place, study = Place(tmp_path, "d"), tiny()
    before = DatasetHoldings.open(tmp_path, "d")
    before.roster(study)
    cases = before.dataset.patients()[PATIENTS[0]]
    cache = tmp_path / "cache"
    with Manifest(place.manifest) as manifest:
        manifest.history.record_cache(cache)
    copies = [
        cache / "prepared" / "contract" / key[:2] / f"{key}.safetensors"
        for key in map(key_in_simulations, cases)
    ]
    for copy in copies:
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(b"voxels")
    voxels = [content(number).image[0].T.tobytes()[:64] for number in (0, 1)]
    prepared = [
        before.store(before.contract(study)).get(case.key).image.tobytes()[:64] for case in cases
    ]
    assert all(piece in contents(tmp_path) for piece in (*voxels, *prepared))

    done = withdraw(tmp_path, PATIENTS[0])

    gone = done.datasets["d"]
    assert (gone.cases, gone.files) == (2, 6)
    assert not any(copy.exists() for copy in copies)
    left = contents(tmp_path)
    assert not any(piece in left for piece in (*voxels, *prepared))
    after = Dataset.open(tmp_path, "d")
    assert after.version.name == gone.version
    assert (after.version.number, after.version.cases) == (2, 4)
    assert PATIENTS[0] not in after.patients()
    assert after.damaged() == []


def test_the_manifest_forgets_him_down_to_its_pages(tmp_path: Path) -> None:
    dataset(tmp_path)
    place = Place(tmp_path, "d")
    assert PATIENTS[0].encode() in contents(place.folder)
    withdraw(tmp_path, PATIENTS[0])
    assert PATIENTS[0].encode() not in contents(place.folder)


def test_he_does_not_come_back(tmp_path: Path) -> None:
    dataset(tmp_path)
    dataset(tmp_path, cases=2, name="other")
    done = withdraw(tmp_path, PATIENTS[0].lower())
    assert set(done.datasets) == {"d", "other"}
    for name in ("d", "new"):
        with Intake(Place(tmp_path, name)) as intake:
            assert intake.is_withdrawn(PATIENTS[0])
            assert not intake.is_withdrawn(PATIENTS[1])


def test_again_is_no_error_and_nobody_is_one(tmp_path: Path) -> None:
    dataset(tmp_path)
    withdraw(tmp_path, PATIENTS[0])
    assert withdraw(tmp_path, PATIENTS[0]).datasets == {}
    with pytest.raises(InputError, match="no dataset here knows"):
        withdraw(tmp_path, PATIENTS[19])
    with pytest.raises(InputError, match="no pseudonym"):
        withdraw(tmp_path, "Jane Doe")


def test_cut_off_after_the_voxels_went_it_is_ended_by_the_same_command(tmp_path: Path) -> None:
    dataset(tmp_path)
    place = Place(tmp_path, "d")
    held = Dataset.open(tmp_path, "d")
    for case in held.patients()[PATIENTS[0]]:
        place.case(case.key).unlink()
    done = withdraw(tmp_path, PATIENTS[0])
    assert (done.datasets["d"].cases, done.datasets["d"].files) == (2, 0)
    assert Dataset.open(tmp_path, "d").damaged() == []


def test_the_last_patient_leaves_an_empty_version(tmp_path: Path) -> None:
    dataset(tmp_path, cases=2)
    withdraw(tmp_path, PATIENTS[0])
    version = Dataset.open(tmp_path, "d").version
    assert (version.number, version.cases) == (2, 0)


def test_the_studies_that_had_used_him_are_listed(tmp_path: Path) -> None:
    dataset(tmp_path)
    given, charged = tiny("study.name=given"), tiny("study.name=charged", "study.seed=3")
    holdings = DatasetHoldings.open(tmp_path, "d")
    holdings.roster(given)
    identity = WorkId(study_hash(charged), 1, "0" * 64)
    with open_ledger(tmp_path, "d", holdings.version, WIDE) as ledger:
        ledger.reserve(Work(identity, "charged", Charge(0.1, 1.0, 3), 1.0, 1e-5, 2))
    folder = tmp_path / "studies"
    folder.mkdir()
    (folder / f"{study_hash(given)}.json").write_text(json.dumps({"state": "approved"}))
    with Intake(holdings.dataset.place) as intake:  # a later version, with somebody else
        add(intake, 50, PATIENTS[9])
        intake.form_version()
    used = {one.study: one for one in withdraw(tmp_path, PATIENTS[0]).studies}
    assert set(used) == {"given", "charged"}
    assert (used["given"].state, used["given"].charged) == ("approved", False)
    assert (used["charged"].state, used["charged"].charged) == ("", True)
    assert withdraw(tmp_path, PATIENTS[9]).studies == ()


def test_holdings_that_were_open_before_are_not_used_after(tmp_path: Path) -> None:
    from fedvox.common.errors import SiteError

    dataset(tmp_path)
    holdings = DatasetHoldings.open(tmp_path, "d")
    withdraw(tmp_path, PATIENTS[0])
    with pytest.raises(SiteError, match="another data contract"):
        holdings.roster(tiny())


def test_without_its_list_nothing_is_imported(tmp_path: Path) -> None:
    dataset(tmp_path)
    withdraw(tmp_path, PATIENTS[0])
    path = tmp_path / "data" / "withdrawn.txt"
    path.write_text("garbage\n")
    with pytest.raises(InputError, match="damaged"), Intake(Place(tmp_path, "d")):
        pass
    path.unlink()
    path.mkdir()
    with pytest.raises(ResourceError), Intake(Place(tmp_path, "d")):
        pass
