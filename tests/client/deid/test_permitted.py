"""What of a patient is kept, as the site's signed policy says and not as the command line does."""

import json
from pathlib import Path

import pytest
from command import fedvox
from dicom_series import Series, datasets, write
from trainers import give_identity, new_home

from fedvox.client.dataset.dataset import Dataset
from fedvox.client.deid.attributes import Kept
from fedvox.client.deid.permitted import permitted
from fedvox.client.policy.load import PolicyError
from fedvox.client.policy.signature import policy_file, sign_policy
from fedvox.common.errors import InputError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = new_home(tmp_path / "home")
    give_identity(home)
    return home


def allow(home: Path, keep: str) -> None:
    policy_file(home).write_text(f"[store]\nkeep = {keep}\n")
    sign_policy(home)


@pytest.mark.parametrize(
    ("keep", "wanted", "kept"),
    [
        ("[]", [], Kept()),
        ("['age']", ["age"], Kept(age=True)),
        ("['age', 'sex']", ["sex"], Kept(sex=True)),
        ("['sex', 'age']", ["sex", "age"], Kept(True, True)),
    ],
)
def test_what_the_policy_allows(home: Path, keep: str, wanted: list[str], kept: Kept) -> None:
    allow(home, keep)
    assert permitted(home, wanted) == kept


@pytest.mark.parametrize(("keep", "wanted"), [("[]", "age"), ("['age']", "sex")])
def test_what_it_does_not_allow_is_refused(home: Path, keep: str, wanted: str) -> None:
    allow(home, keep)
    with pytest.raises(InputError, match=rf"--keep {wanted}: .* set keep = \[.*'?{wanted}"):
        permitted(home, [wanted])


def test_without_a_policy_nothing_is_kept(tmp_path: Path) -> None:
    assert permitted(tmp_path, []) == Kept()
    with pytest.raises(InputError, match="site policy sign"):
        permitted(tmp_path, ["age"])


def test_a_policy_that_was_not_signed_allows_nothing(home: Path) -> None:
    allow(home, "[]")
    policy_file(home).write_text("[store]\nkeep = ['age']\n")
    with pytest.raises(PolicyError, match="changed after it was signed"):
        permitted(home, ["age"])
    assert permitted(home, []) == Kept()  # an import that keeps nothing waits for no policy


@pytest.mark.parametrize(
    "command",
    [
        ["ingest", "{src}"],
        ["listen", "--port", "0"],
        ["pull", "--from", "PACS@127.0.0.1:1", "--modality", "CT"],
    ],
)
def test_every_command_that_imports_asks_the_policy(
    home: Path, tmp_path: Path, command: list[str]
) -> None:
    src = tmp_path / "in"
    write(src, datasets(Series(2)))
    words = [word.format(src=src) for word in command]
    said = fedvox("site", *words, "--dataset", "d", "--home", home, "--keep", "age")
    assert said.status == 2 and "store.keep" not in said.out
    assert "under [store] in policy.toml" in said.err
    assert not (home / "data").exists()


def test_allowed_and_asked_for_it_is_in_the_store_and_else_it_is_not(
    home: Path, tmp_path: Path
) -> None:
    src = tmp_path / "in"
    series = datasets(Series(3))
    for ds in series:
        ds.PatientAge, ds.PatientSex = "061Y", "F"
    write(src, series)
    allow(home, "['age']")
    words = ["site", "ingest", src, "--dataset", "d", "--home", home, "--json"]
    for extra, age in ([], None), (["--keep", "age"], "60-69"), ([], None):
        assert json.loads(fedvox(*words, *extra).out.splitlines()[-1])["ingested"] == 1
        (case,) = Dataset.open(home, "d").cases()
        assert case.facts.attributes.get("age_band") == age
        assert "sex" not in case.facts.attributes
