"""A new version of the data goes on with what was spent; nothing is ever begun anew."""

import json
import shutil
from pathlib import Path

import pytest
from ledgers import CAPS, opened, place, reserved, rows, sha, tampering, work

from fedvox.client.ledger.places import places
from fedvox.client.ledger.verify import look
from fedvox.client.ledger.versions import open_ledger
from fedvox.common.errors import DataError, Refusal, SiteError
from fedvox.common.privacy.account import Account
from fedvox.common.privacy.charge import Charge


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two versions; the second was begun after the first had done work for two studies."""
    home = tmp_path / "home"
    with opened(home) as ledger:
        ledger.release(reserved(ledger, work(1)), sha("sent"))
        reserved(ledger, work(1, "lung", noise=3.0))
    with opened(home, CAPS, "v2"):
        pass
    return home


def test_what_was_spent_goes_on_by_study_and_in_all(home: Path) -> None:
    with opened(home, CAPS, "v2") as ledger:
        reservation = reserved(ledger, work(2))
    brain = Account([Charge(0.1, 1.0, 60)]).epsilon(1e-3)
    life = Account([Charge(0.1, 1.0, 60), Charge(0.1, 3.0, 30)]).epsilon(1e-3)
    assert reservation.study_epsilon == pytest.approx(brain, rel=1e-9)
    assert reservation.life_epsilon == pytest.approx(life, rel=1e-9)
    row = rows(home, "v2")[0]
    assert row["life_after"] == rows(home)[3]["life_after"] == row["life_before"]


def test_the_first_row_names_the_last_hash_before_it(home: Path) -> None:
    last = rows(home)[-1]
    origin = json.loads(rows(home, "v2")[0]["origin"])
    assert origin["predecessor"] == {"version": "v1", "count": 5, "head": last["hash"]}
    assert (last["kind"], json.loads(last["origin"])) == ("closed", {"version": "v2"})
    assert [look(found).findings for found in places(home)] == [(), ()]


def test_the_same_request_about_other_data_is_other_work(home: Path) -> None:
    with opened(home, CAPS, "v2") as ledger:
        assert not reserved(ledger, work(1)).resumed


def test_the_version_before_takes_nothing_more(home: Path) -> None:
    with pytest.raises(DataError, match="'v1' was followed by 'v2'"):
        opened(home)


def test_a_ledger_that_is_open_meanwhile_takes_nothing_more(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        reservation = reserved(ledger, work(1))
        opened(tmp_path, CAPS, "v2").close()
        for act in (
            lambda: ledger.reserve(work(2)),
            lambda: ledger.release(reservation, sha("late")),
            lambda: ledger.refuse(reservation, Refusal.UNSAFE),
            lambda: ledger.decline(work(2), Refusal.STUDY),
        ):
            with pytest.raises(SiteError) as caught:
                act()
            assert "closed" in caught.value.detail
    assert rows(tmp_path)[-1]["kind"] == "closed"


def test_caps_hold_over_versions(tmp_path: Path) -> None:
    version = 0
    with pytest.raises(SiteError) as caught:
        for version in range(1, 40):
            with opened(tmp_path, CAPS, f"v{version}") as ledger:
                reserved(ledger, work(version))
    affordable = max(
        n for n in range(1, 40) if Account([Charge(0.1, 1.0, 30 * n)]).epsilon(1e-3) <= 8.0
    )
    assert caught.value.refusal is Refusal.BUDGET and version == affordable + 1
    assert all(look(found).findings == () for found in places(tmp_path))


def test_data_sets_are_apart(home: Path) -> None:
    with open_ledger(home, "prostate", "v1", CAPS) as ledger:
        assert reserved(ledger, work(1)).life_epsilon < 3
    assert [(p.dataset, p.version) for p in places(home)] == [
        ("hippocampus", "v1"), ("hippocampus", "v2"), ("prostate", "v1"),
    ]  # fmt: skip


def assert_not_begun(home: Path, version: str) -> None:
    before = sorted(path.name for path in place(home).folder.iterdir())
    with pytest.raises(SiteError) as caught:
        opened(home, CAPS, version)
    assert "missing" in caught.value.detail
    assert sorted(path.name for path in place(home).folder.iterdir()) == before


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("parts", [("rows",), ("anchor",), ("rows", "anchor")])
def test_a_ledger_that_is_gone_is_not_begun_anew(
    home: Path, version: str, parts: tuple[str, ...]
) -> None:
    for part in parts:
        getattr(place(home, version), part).unlink()
    assert_not_begun(home, version)
    if (version, len(parts)) != ("v1", 2):  # what is gone for good is in the one that followed
        assert_not_begun(home, "v3")


def test_a_prepared_ledger_that_is_not_due_does_not_take_its_place(home: Path) -> None:
    shutil.copy(place(home, "v2").rows, place(home, "v3").pending)
    with opened(home, CAPS, "v2") as ledger:
        reserved(ledger, work(2))
    with opened(home, CAPS, "v3") as ledger:
        spent = reserved(ledger, work(3)).study_epsilon
    assert spent == pytest.approx(Account([Charge(0.1, 1.0, 90)]).epsilon(1e-3), rel=1e-9)
    assert all(look(found).findings == () for found in places(home))


def test_a_damaged_predecessor_hands_nothing_on(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        reserved(ledger, work(1))
        reserved(ledger, work(2))
    with tampering(tmp_path) as connection:
        connection.execute("UPDATE entries SET steps = 1 WHERE sequence = 2")
    with pytest.raises(SiteError):
        opened(tmp_path, CAPS, "v2")
    assert not place(tmp_path, "v2").rows.exists()


def test_two_versions_in_use_are_one_too_many(home: Path) -> None:
    with open_ledger(home, "prostate", "v7", CAPS):
        pass
    for part in ("rows", "anchor"):
        foreign = getattr(place(home).__class__(home, "prostate", "v7"), part)
        shutil.copy(foreign, getattr(place(home, "v7"), part))
    with pytest.raises(SiteError) as caught:
        opened(home, CAPS, "v3")
    assert "more than one version is in use: v2, v7" in caught.value.detail


def test_what_was_taken_over_is_held_against_what_was_spent(home: Path) -> None:
    with tampering(home) as connection:
        connection.execute("DELETE FROM entries WHERE sequence = 5")
    place(home).anchor.unlink()
    assert "missing" in look(place(home)).findings[0].text
    found = look(place(home, "v2")).findings
    assert found[0].sequence == 1 and "its last row is not row 5" in found[0].text
    place(home).rows.unlink()
    assert "is gone" in look(place(home, "v2")).findings[0].text
