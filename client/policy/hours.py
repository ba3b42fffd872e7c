"""Times of day, over midnight as well."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
_DAY_MIN = 24 * 60


def parse_hours(text: str) -> tuple[int, int]:
    """Minutes of the day from which and to which; ValueError where the text says neither."""
    found = _HOURS.fullmatch(text)
    numbers = [int(group) for group in found.groups()] if found else []
    if not numbers or numbers[0] > 23 or numbers[2] > 24 or numbers[1] > 59 or numbers[3] > 59:
        raise ValueError(f'{text!r} is no time of day; write it as in "20:00-06:00"')
    begin, end = numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]
    if begin == end or end > _DAY_MIN:
        raise ValueError(f"{text!r} is no time at all; leave hours empty for the whole day")
    return begin, end


def within(now: datetime, hours: Sequence[str], days: Sequence[str]) -> bool:
    """Whether `now` lies in one of the hours of one of the days; hours over midnight belong to the
    day on which they begin."""
    minute = now.hour * 60 + now.minute
    today, yesterday = DAYS[now.weekday()], DAYS[(now - timedelta(days=1)).weekday()]
    for begin, end in map(parse_hours, hours or ("00:00-24:00",)):
        last = end if end > begin else _DAY_MIN
        if today in days and begin <= minute < last:
            return True
        if end < begin and yesterday in days and minute < end:
            return True
    return False
