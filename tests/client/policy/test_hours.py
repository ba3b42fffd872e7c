from datetime import datetime, timedelta

import pytest

from fedvox.client.policy.hours import DAYS, parse_hours, within


@pytest.mark.parametrize(
    "text", ["", "8-17", "08:00", "25:00-06:00", "08:00-08:00", "08:00-24:30", "08:60-09:00"]
)
def test_what_is_no_time_of_day_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="time"):
        parse_hours(text)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2026-11-20 19:59", False),  # a Friday
        ("2026-11-20 20:00", True),
        ("2026-11-20 23:59", True),
        ("2026-11-21 00:00", True),  # of the Friday's night
        ("2026-11-21 05:59", True),
        ("2026-11-21 06:00", False),
        ("2026-11-21 21:00", False),  # a Saturday: its night does not begin
        ("2026-11-22 03:00", False),
    ],
)
def test_a_night_belongs_to_the_day_on_which_it_begins(when: str, expected: bool) -> None:
    weekdays = ("mon", "tue", "wed", "thu", "fri")
    assert within(datetime.fromisoformat(when), ["20:00-06:00"], weekdays) is expected


def test_without_hours_it_is_always_on_those_days() -> None:
    monday = datetime(2026, 11, 16)
    opened = [within(monday + timedelta(hours=n), [], ["wed"]) for n in range(7 * 24)]
    assert opened == [48 <= n < 72 for n in range(7 * 24)]
    assert within(monday, [], DAYS)


def test_against_every_minute_counted_by_hand() -> None:
    """Two windows, one over midnight, on two days: minute by minute over two weeks."""
    monday, hours, days = datetime(2026, 11, 16), ["22:30-01:15", "12:00-13:00"], ("tue", "sun")
    expected = set()
    for day in range(-7, 21):
        if DAYS[day % 7] in days:
            expected |= {day * 1440 + n for n in (*range(1350, 1440 + 75), *range(720, 780))}
    for minute in range(0, 14 * 1440, 5):
        now = monday + timedelta(minutes=minute)
        assert within(now, hours, days) is (minute in expected), now
