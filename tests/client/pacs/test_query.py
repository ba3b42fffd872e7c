"""What is wanted, by hand-computed dates and patterns."""

from datetime import date, timedelta

import pytest

from fedvox.client.pacs.query import Wanted, Window, day_of, is_uid
from fedvox.common.errors import InputError

JANUARY = Window(date(2024, 1, 1), date(2024, 1, 31))


def test_a_window_as_dicom_writes_it() -> None:
    assert JANUARY.text == "20240101-20240131"
    assert Window(date(2024, 1, 1), None).text == "20240101-"
    assert Window(None, date(2024, 1, 1)).text == "-20240101"
    assert Window().text == ""


def test_windows_cover_every_day_once() -> None:
    wanted = Wanted(("CT",), Window(date(2023, 11, 5), date(2024, 3, 9)))
    days: list[date] = []
    for window in wanted.windows():
        assert window.first and window.last and (window.last - window.first).days < 31
        count = (window.last - window.first).days + 1
        days += [window.first + timedelta(days=n) for n in range(count)]
    total = (date(2024, 3, 9) - date(2023, 11, 5)).days + 1
    assert days == [date(2023, 11, 5) + timedelta(days=n) for n in range(total)]


def test_halves_cover_a_window_and_end_at_a_day() -> None:
    first, second = JANUARY.halves()
    assert (first.first, second.last) == (JANUARY.first, JANUARY.last)
    assert first.last == date(2024, 1, 16) and second.first == date(2024, 1, 17)
    assert Window(date(2024, 1, 1), date(2024, 1, 1)).halves() == ()
    assert Window(None, date(2024, 1, 1)).halves() == ()
    two = Window(date(2024, 1, 1), date(2024, 1, 2)).halves()
    assert [half.text for half in two] == ["20240101-20240101", "20240102-20240102"]


@pytest.mark.parametrize(
    ("day", "holds"),
    [("20240101", True), ("20240131", True), ("20231231", False), ("20240201", False), ("", False)],
)
def test_a_window_holds_its_days(day: str, holds: bool) -> None:
    assert JANUARY.holds(day) is holds


def test_without_dates_everything_is_held() -> None:
    assert Window().holds("") and Window().holds("19991231")


@pytest.mark.parametrize(
    ("pattern", "described"),
    [("", True), ("*CHEST*", True), ("thin ch?st", True), ("chest", False), ("*[c]hest", True)],
)
def test_patterns_are_of_the_whole_description(pattern: str, described: bool) -> None:
    assert Wanted(("CT",), Window(), pattern).describes("Thin Chest", "") is described


def test_the_study_may_be_described_instead() -> None:
    assert Wanted(("CT",), Window(), "*chest*").describes("0.6 B30f", "CT CHEST")


@pytest.mark.parametrize("modalities", [(), ("ct",), ("CT\\MR",), ("*",)])
def test_what_is_no_modality(modalities: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="--modality"):
        Wanted(modalities, Window())


def test_dates_the_wrong_way_round() -> None:
    with pytest.raises(InputError, match="--since"):
        Wanted(("CT",), Window(date(2024, 2, 1), date(2024, 1, 1)))


def test_days_and_uids() -> None:
    assert day_of("2024-02-29") == date(2024, 2, 29)
    with pytest.raises(InputError, match="2024-01-31"):
        day_of("31.1.2024")
    assert is_uid("1.2.840.1")
    assert not any(map(is_uid, ("", "1.2/../x", "1.2*", "1" * 65, "1.2?x=1")))
