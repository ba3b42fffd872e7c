"""The same patients in a second data set: their budget is not begun anew."""

import json
import subprocess
import threading
from pathlib import Path

import pytest
from command import fedvox
from datasets import PATIENTS, add, content
from ledgers import sha, work
from mounts import small_disk

from fedvox.client.dataset.intake import Intake
from fedvox.client.dataset.manifest import Manifest
from fedvox.client.dataset.places import Place as DataPlace
from fedvox.client.ledger.ledger import Ledger
from fedvox.client.ledger.places import Place
from fedvox.client.ledger.summary import summarise
from fedvox.client.ledger.verify import look
from fedvox.client.ledger.versions import open_ledger
from fedvox.client.ledger.work import Caps, Reservation
from fedvox.common.errors import Refusal, SiteError
from fedvox.common.privacy.account import Account
from fedvox.common.privacy.charge import Charge

CAPS = Caps(study_epsilon=20.0, life_epsilon=8.0, delta=1e-3)
STEPS = Charge(0.1, 1.0, 30)


def ingested(home: Path, name: str, cases: dict[int, str]) -> None:
    """A data set of these images, each of a patient."""
    with Intake(DataPlace(home, name)) as intake:
        for number, patient in cases.items():
            assert not add(intake, number, patient, content(number))
        intake.form_version()


def ledger(home: Path, dataset: str, version: str = "v1") -> Ledger:
    return open_ledger(home, dataset, version, CAPS)


def charged(home: Path, dataset: str, number: int, study: str = "brain") -> Reservation:
    with ledger(home, dataset) as own:
        answer = own.reserve(work(number, study))
        assert isinstance(answer, Reservation)
        own.release(answer, sha(number))
    return answer


def epsilon(rounds: int) -> float:
    return Account([Charge(0.1, 1.0, 30 * rounds)]).epsilon(1e-3)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Three data sets; a patient of the first is in the second, an image of it in the third."""
    ingested(tmp_path, "first", {1: PATIENTS[1], 2: PATIENTS[2]})
    ingested(tmp_path, "second", {3: PATIENTS[2], 4: PATIENTS[4]})
    ingested(tmp_path, "third", {1: PATIENTS[9], 5: PATIENTS[5]})
    ingested(tmp_path, "apart", {6: PATIENTS[6]})
    return tmp_path


@pytest.mark.parametrize("other", ["second", "third"])
def test_a_second_name_does_not_begin_anew(home: Path, other: str) -> None:
    charged(home, "first", 1)
    spent = charged(home, other, 2)
    assert spent.life_epsilon == pytest.approx(epsilon(2), rel=1e-9)
    assert spent.study_epsilon == pytest.approx(epsilon(2), rel=1e-9)
    back = charged(home, "first", 3, "lung")
    assert back.life_epsilon == pytest.approx(epsilon(3), rel=1e-9)
    assert back.study_epsilon == pytest.approx(epsilon(1), rel=1e-9)


def test_other_patients_are_counted_apart(home: Path) -> None:
    charged(home, "first", 1)
    assert charged(home, "apart", 2).life_epsilon == pytest.approx(epsilon(1), rel=1e-9)
    charged(home, "second", 3)
    assert charged(home, "third", 4).life_epsilon == pytest.approx(epsilon(2), rel=1e-9)


def test_the_cap_holds_over_data_sets_and_says_why(home: Path) -> None:
    number = 0
    with pytest.raises(SiteError) as caught:
        for number in range(1, 60):
            charged(home, ("first", "second")[number % 2], number)
    affordable = max(n for n in range(1, 60) if epsilon(n) <= CAPS.life_epsilon)
    assert caught.value.refusal is Refusal.BUDGET and number == affordable + 1
    assert "which has some of the same patients" in caught.value.detail


def test_a_data_set_of_which_only_the_ledger_is_left_counts(home: Path) -> None:
    charged(home, "apart", 1)
    for path in sorted(DataPlace(home, "apart").folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert charged(home, "first", 2).life_epsilon == pytest.approx(epsilon(2), rel=1e-9)


def test_a_damaged_ledger_of_the_same_patients_stops_the_other(home: Path) -> None:
    charged(home, "first", 1)
    Place(home, "first", "v1").rows.unlink()
    with pytest.raises(SiteError) as caught:
        charged(home, "second", 2)
    assert caught.value.refusal is Refusal.INTERNAL and "'first'" in caught.value.detail
    assert charged(home, "apart", 2).life_epsilon == pytest.approx(epsilon(1), rel=1e-9)


def test_a_new_version_elsewhere_goes_on_counting(home: Path) -> None:
    charged(home, "first", 1)
    ledger(home, "first", "v2").close()
    assert charged(home, "second", 2).life_epsilon == pytest.approx(epsilon(2), rel=1e-9)
    ledger(home, "second", "v2").close()
    with ledger(home, "first", "v2") as own:
        answer = own.reserve(work(3))
    assert isinstance(answer, Reservation)
    assert answer.life_epsilon == pytest.approx(epsilon(3), rel=1e-9)
    for name, version in (("first", "v1"), ("first", "v2"), ("second", "v1"), ("second", "v2")):
        assert look(Place(home, name, version)).findings == ()


def test_the_summary_counts_them_as_the_next_request_will(home: Path) -> None:
    charged(home, "first", 1)
    charged(home, "second", 2)
    summary = summarise(look(Place(home, "first", "v1")), 1)
    assert summary.kin == ("second",)
    assert summary.life.epsilon == pytest.approx(epsilon(2), rel=1e-9)
    assert summary.life.left == pytest.approx(8.0 - epsilon(2), rel=1e-9)
    assert summary.studies[0].spent.epsilon == pytest.approx(epsilon(2), rel=1e-9)
    charged(home, "apart", 3)
    apart = summarise(look(Place(home, "apart", "v1")), 1)
    assert apart.kin == () and apart.life.epsilon == pytest.approx(epsilon(1), rel=1e-9)


def test_two_data_sets_charged_at_once_never_exceed_the_cap(home: Path) -> None:
    refused: list[str] = []

    def spend(dataset: str, first: int) -> None:
        for number in range(first, first + 12):
            try:
                charged(home, dataset, number)
            except SiteError as error:
                refused.append(error.refusal)

    names = (("first", 100), ("second", 200))
    threads = [threading.Thread(target=spend, args=name) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    affordable = max(n for n in range(1, 60) if epsilon(n) <= CAPS.life_epsilon)
    done = sum(
        link.entry["kind"] == "reserved"
        for name, _ in names
        for link in look(Place(home, name, "v1")).links
    )
    assert done == affordable and refused == [Refusal.BUDGET] * (24 - affordable)


def test_a_study_that_was_never_charged_is_named(home: Path) -> None:
    """It may have sent what no epsilon can be said of."""
    charged(home, "first", 1)
    ledger(home, "first", "v2").close()
    with Manifest(DataPlace(home, "first").manifest) as manifest:
        manifest.history.record_use(1, sha("brain"), "brain")
        manifest.history.record_use(1, sha("open"), "open study")
    summary = summarise(look(Place(home, "first", "v2")), 1)
    assert summary.uncharged == ("open study",)
    said = fedvox("site", "ledger", "--home", home, "--dataset", "first")
    assert said.status == 0 and "never charged: open study;" in " ".join(said.out.split())
    assert "counted with" not in said.out
    charged(home, "second", 2)
    said = fedvox("site", "ledger", "--home", home, "--dataset", "second")
    assert "counted with first: some of the same patients are in it" in said.out


def test_what_cannot_be_written_to_can_be_read(tmp_path: Path) -> None:
    """As on a mounted backup."""
    with small_disk(tmp_path / "disk", "16m") as home:
        ingested(home, "first", {1: PATIENTS[1]})
        ingested(home, "second", {2: PATIENTS[1]})
        charged(home, "first", 1)
        charged(home, "second", 2)
        subprocess.run(["mount", "-o", "remount,ro", str(home)], check=True)
        said = fedvox("site", "ledger", "--home", home, "--dataset", "first", "--json")
    (told,) = json.loads(said.out)["ledgers"]
    assert (said.status, told["kin"], told["verified"]) == (0, ["second"], True)
    assert told["life"]["epsilon"] == pytest.approx(epsilon(2), rel=1e-9)
