"""Charged before it begins, once, and never beyond what the site allows."""

import json
import math
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from ledgers import CAPS, WIDE, kinds, opened, place, released, reserved, rows, sha, work

from fedvox.client.ledger.entry import COLUMNS, FIELDS
from fedvox.client.ledger.verify import look
from fedvox.client.ledger.work import Reservation, Work
from fedvox.common.errors import InputError, Refusal, SiteError
from fedvox.common.privacy.account import Account
from fedvox.common.privacy.charge import Charge


def test_work_is_charged_when_it_is_reserved_and_released_once(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        reservation = reserved(ledger, work())
        assert kinds(tmp_path) == ["opened", "reserved"]  # on the disk already
        assert (reservation.sequence, reservation.resumed) == (2, False)
        assert ledger.release(reservation, sha("bytes")).sequence == 3
        again = released(ledger, work())
        assert (again.sequence, again.payload_sha256) == (3, sha("bytes"))
    with opened(tmp_path) as ledger:
        assert released(ledger, work()) == again
    assert kinds(tmp_path) == ["opened", "reserved", "released"]


def test_a_row_says_everything(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        reservation = reserved(ledger, work(4))
        ledger.release(reservation, sha("bytes"))
    _, charged, sent = map(dict, rows(tmp_path))
    epsilon = Account([Charge(0.1, 1.0, 30)]).epsilon(1e-3)
    assert charged == charged | {
        "sequence": 2, "kind": "reserved", "study": "brain", "study_sha256": sha("brain"),
        "round": 4, "purpose": "train", "weights_sha256": sha(("brain", 4)), "reservation": 0,
        "sample_rate": 0.1, "noise_multiplier": 1.0, "steps": 30, "clip_norm": 1.0, "delta": 1e-3,
        "honest_sites": 1, "study_before": 0.0, "study_after": epsilon, "life_before": 0.0,
        "life_after": epsilon, "study_cap": 8.0, "life_cap": 12.0, "life_delta": 1e-3,
        "payload_sha256": "", "decision": "charged",
    }  # fmt: skip
    assert charged["time"].endswith("+00:00") and charged["previous"] == rows(tmp_path)[0]["hash"]
    assert sent == sent | {
        "reservation": 2, "payload_sha256": sha("bytes"), "decision": "sent",
        "study_before": epsilon, "study_after": epsilon,
    }  # fmt: skip
    assert tuple(charged) == COLUMNS == ("sequence", *FIELDS, "previous", "hash")


def exact_epsilon(noise: float, steps: int, delta: float) -> float:
    """Of the Gaussian mechanism on all patients, from its closed form (Balle and Wang, 2018)."""

    def normal(value: float) -> float:
        return math.erfc(-value / math.sqrt(2)) / 2

    scale = noise / math.sqrt(steps)
    low, high = 0.0, 100.0
    for _ in range(200):
        middle = (low + high) / 2
        near, far = 1 / (2 * scale) - middle * scale, -1 / (2 * scale) - middle * scale
        above = normal(near) - math.exp(middle) * normal(far) > delta
        low, high = (middle, high) if above else (low, middle)
    return high


def test_epsilon_adds_up_over_rounds_and_studies_as_the_closed_form_says(tmp_path: Path) -> None:
    def of(round_number: int, study: str) -> Work:
        return work(round_number, study, noise=20.0, steps=10, rate=1.0)

    with opened(tmp_path) as ledger:
        for study in ("brain", "lung"):
            for number in (1, 2):
                last = reserved(ledger, of(number, study))
    assert last.study_epsilon == pytest.approx(exact_epsilon(20.0, 20, 1e-3), rel=5e-3)
    assert last.life_epsilon == pytest.approx(exact_epsilon(20.0, 40, 1e-3), rel=5e-3)
    course = [(row["study_before"], row["study_after"]) for row in rows(tmp_path)[1:]]
    assert course[0][1] == course[1][0] and course[2][0] == 0.0


def test_reopening_changes_no_figure(tmp_path: Path) -> None:
    works = [work(number, study) for number in (1, 2) for study in ("brain", "lung")]
    with opened(tmp_path / "kept") as ledger:
        for asked in works:
            ledger.release(reserved(ledger, asked), sha(asked))
    for asked in works:
        with opened(tmp_path / "reopened") as ledger:
            reservation = reserved(ledger, asked)
        with opened(tmp_path / "reopened") as ledger:
            ledger.release(reservation, sha(asked))
    figures = ("study_before", "study_after", "life_before", "life_after", "decision")
    kept, reopened = (
        [[row[name] for name in figures] for row in rows(tmp_path / which)]
        for which in ("kept", "reopened")
    )
    assert kept == reopened


def test_interrupted_work_goes_on_under_the_same_charge(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        before = reserved(ledger, work())
    with opened(tmp_path) as ledger:
        again = reserved(ledger, work())
        assert again == replace(before, resumed=True)
        ledger.release(again, sha("second attempt"))
    assert kinds(tmp_path) == ["opened", "reserved", "released"]


def test_interrupted_work_on_other_terms_is_charged_again(tmp_path: Path) -> None:
    with opened(tmp_path, WIDE) as ledger:
        old = reserved(ledger, work())
        for other in (
            work(noise=2.0),
            work(steps=31),
            work(rate=0.2),
            work(delta=1e-4),
            replace(work(), clip_norm=2.0),
            replace(work(), honest_sites=2),
        ):
            assert not reserved(ledger, other).resumed
        with pytest.raises(SiteError, match="log says why"):
            ledger.release(old, sha("of the first"))
    assert kinds(tmp_path) == ["opened"] + ["reserved"] * 7


def test_the_second_of_two_attempts_cannot_send_something_else(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        one, two = reserved(ledger, work()), reserved(ledger, work())
        ledger.release(one, sha("one"))
        assert ledger.release(two, sha("one")).payload_sha256 == sha("one")
        for settle in (
            lambda: ledger.release(two, sha("two")),
            lambda: ledger.refuse(two, Refusal.UNSAFE),
        ):
            with pytest.raises(SiteError) as caught:
                settle()
            assert caught.value.refusal is Refusal.INTERNAL  # whatever had come of it
    assert kinds(tmp_path) == ["opened", "reserved", "released"]


def test_refused_after_training_stays_charged_and_is_charged_again(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        first = reserved(ledger, work())
        ledger.refuse(first, Refusal.UNSAFE, "the norm is off")
        with pytest.raises(SiteError):
            ledger.release(first, sha("after all"))
        with pytest.raises(SiteError):
            ledger.refuse(first, Refusal.UNSAFE)
        second = reserved(ledger, work())
        assert not second.resumed and second.study_epsilon > first.study_epsilon
        ledger.release(second, sha("sent"))
        assert released(ledger, work()).payload_sha256 == sha("sent")
    assert kinds(tmp_path) == ["opened", "reserved", "refused", "reserved", "released"]
    row = rows(tmp_path)[2]
    assert (row["reservation"], row["decision"], row["reason"]) == (2, "unsafe", "the norm is off")


def test_declined_before_it_began_is_recorded_and_costs_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        ledger.decline(work(), Refusal.STUDY, "not on the list")
        assert reserved(ledger, work()).sequence == 3
    row = rows(tmp_path)[1]
    assert (row["kind"], row["decision"], row["reservation"]) == ("refused", "study", 0)
    assert row["life_after"] == 0.0


def test_the_same_round_for_another_purpose_is_other_work(tmp_path: Path) -> None:
    evaluate = replace(work(), id=replace(work().id, purpose="evaluate"))
    with opened(tmp_path) as ledger:
        ledger.release(reserved(ledger, work()), sha("weights"))
        assert reserved(ledger, evaluate).study_epsilon > 0


def test_what_is_no_hash_is_not_released(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        reservation = reserved(ledger, work())
        for bad in ("", "payload", sha("x").upper()):
            with pytest.raises(SiteError):
                ledger.release(reservation, bad)
        invented = Reservation(work(9), 2, 0.0, 0.0)
        with pytest.raises(SiteError):
            ledger.release(invented, sha("x"))
    assert kinds(tmp_path) == ["opened", "reserved"]


def test_the_database_itself_forbids_changes(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        reserved(ledger, work())
    with closing(sqlite3.connect(place(tmp_path).rows)) as connection:
        columns = ", ".join(COLUMNS)
        for statement in (
            "UPDATE entries SET steps = 1 WHERE sequence = 2",
            "DELETE FROM entries WHERE sequence = 2",
            f"INSERT OR REPLACE INTO entries ({columns}) SELECT {columns} FROM entries",
            f"INSERT INTO entries ({columns}) SELECT 9, {columns[10:]} FROM entries LIMIT 1",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="rows of a ledger"):
                connection.execute(statement)


def test_it_syncs_every_commit_and_keeps_a_write_ahead_log(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        connection = ledger._connection
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_first_row_says_what_the_ledger_is_of(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    assert json.loads(rows(tmp_path)[0]["origin"]) == {
        "dataset": "hippocampus",
        "version": "v1",
        "predecessor": None,
        "carried": {"life": {"delta": 0.0, "epsilon": 0.0}, "studies": []},
    }
    assert look(place(tmp_path)).findings == ()


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "x" * 97])
def test_names_that_could_leave_the_folder_are_bad_input(tmp_path: Path, name: str) -> None:
    for dataset, version in ((name, "v1"), ("hippocampus", name)):
        with pytest.raises(InputError, match="cannot name"):
            opened_as(tmp_path, dataset, version)
    assert list(tmp_path.iterdir()) == []


def opened_as(home: Path, dataset: str, version: str) -> None:
    from fedvox.client.ledger.versions import open_ledger

    open_ledger(home, dataset, version, CAPS).close()
