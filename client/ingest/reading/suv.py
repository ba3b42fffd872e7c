"""PET activity as standardised uptake values by body weight."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from fedvox.client.ingest.reading.frames import Frame
from fedvox.client.ingest.reading.header import Header
from fedvox.client.ingest.reading.tags import PHASE_TAGS, Tag
from fedvox.client.ingest.reasons import Quarantined, Reason

_GRAMS = 1000.0
_DAY_S = 86_400.0
_LONGEST_S = 5 * _DAY_S
_LONGEST_HALF_LIVES = 10.0
"""Nobody waits until less than a thousandth of the activity is left: such times are wrong."""
_LEAST_DOSE_BQ = 1e5
"""A dose below this was written in MBq: an image needs more."""
_MOMENT = re.compile(r"(\d{8})(\d{2})(\d{2})?(\d{2})?(?:\.(\d{1,6}))?")
_ZONE = re.compile(r"([+-])(\d{2})(\d{2})")
_PHILIPS = "PHILIPS PET PRIVATE GROUP"
_ACQUIRED = PHASE_TAGS.index(Tag.ACQUISITION_TIME)


def suv_factors(frames: Sequence[Frame]) -> list[float]:
    """What each frame's rescaled voxels are multiplied by; Quarantined where it is not known."""
    header = frames[0].common.header
    units = header.text(Tag.UNITS).upper()
    if units == "GML" and header.text(Tag.SUV_TYPE).upper() in ("", "BW"):
        return [1.0] * len(frames)
    if units == "CNTS":
        return _from_counts(frames, header)
    if units != "BQML":
        raise Quarantined(Reason.NO_UNITS, f"units {units or 'missing'}")
    return _from_activity(frames, header)


def _from_counts(frames: Sequence[Frame], header: Header) -> list[float]:
    """By the factors to uptake, or else to activity, that Philips writes."""
    if header.text(Tag.PHILIPS_CREATOR).upper() == _PHILIPS:
        factor = header.number(Tag.PHILIPS_SUV_FACTOR)
        if factor and factor > 0:
            return [factor] * len(frames)
        factor = header.number(Tag.PHILIPS_ACTIVITY_FACTOR)
        if factor and factor > 0:
            return [factor * uptake for uptake in _from_activity(frames, header)]
    raise Quarantined(Reason.NO_UNITS, "units CNTS, and no factor that says what a count is")


def _from_activity(frames: Sequence[Frame], header: Header) -> list[float]:
    items = header.items(Tag.RADIOPHARMACEUTICAL)
    given = header.within(items[0]) if items else header.within({})
    weight_kg = header.number(Tag.WEIGHT_KG) or 0.0
    dose_bq = given.number(Tag.DOSE_BQ) or 0.0
    half_life_s = given.number(Tag.HALF_LIFE_S) or 0.0
    if not (0 < weight_kg < 1000 and dose_bq > 0 and half_life_s > 0):
        raise Quarantined(Reason.NO_UNITS, "weight, dose or half-life is missing")
    if dose_bq < _LEAST_DOSE_BQ:
        raise Quarantined(Reason.NO_UNITS, f"a dose of {dose_bq:g} Bq cannot be; is it in MBq?")
    correction = header.text(Tag.DECAY_CORRECTION).upper()
    scale = weight_kg * _GRAMS / dose_bq
    if correction == "ADMIN":
        return [scale] * len(frames)
    waits_s = _waits_s(frames, header, given, correction)
    if max(waits_s) > _LONGEST_HALF_LIVES * half_life_s:
        raise Quarantined(Reason.NO_UNITS, "too long after the injection; are the times right?")
    return [scale * 2.0 ** (wait / half_life_s) for wait in waits_s]


def _waits_s(
    frames: Sequence[Frame], header: Header, given: Header, correction: str
) -> list[float]:
    """Seconds from the injection to the moment that each frame's activity stands for."""
    acquired = [_moment(frame.acquired, frame.phase[_ACQUIRED]) for frame in frames]
    if correction == "START":
        start = _moment(header.raw(Tag.SERIES_DATE), header.raw(Tag.SERIES_TIME))
        known = [moment for moment in acquired if moment]
        if known and (start is None or start > min(known)):  # a series derived later
            start = min(known)
        moments = [start] * len(frames)
    elif correction == "NONE":
        moments = list(acquired)
    else:
        raise Quarantined(Reason.NO_UNITS, f"decay correction {correction or 'missing'}")
    return [_wait_s(header, given, moment) for moment in moments]


def _wait_s(header: Header, given: Header, moment: datetime | None) -> float:
    if moment is None:
        raise Quarantined(Reason.NO_UNITS, "the time of the acquisition is missing")
    dated = _injected(header, given)
    injected = dated or _moment(moment.strftime("%Y%m%d").encode(), given.raw(Tag.INJECTION_TIME))
    if injected is None:
        raise Quarantined(Reason.NO_UNITS, "the time of the injection is missing")
    wait_s = (moment - injected).total_seconds()
    if wait_s < 0 and not dated:  # injected before midnight
        wait_s += _DAY_S
    if not 0 <= wait_s <= _LONGEST_S:
        raise Quarantined(Reason.NO_UNITS, "the injection does not precede the acquisition")
    return wait_s


def _injected(header: Header, given: Header) -> datetime | None:
    """Date and time of the injection by the clock of the acquisition; None where not dated so."""
    whole = given.raw(Tag.INJECTION_DATETIME)
    zone = _ZONE.search(whole.decode("latin-1"))
    injected = _moment(whole[:8], re.split(rb"[+-]", whole[8:])[0])
    if injected is None or zone is None:
        return injected
    here = _ZONE.fullmatch(header.text(Tag.TIMEZONE))
    if here:
        return injected + _offset(here) - _offset(zone)
    if given.raw(Tag.INJECTION_TIME):  # by the same clock as all other times
        return None
    raise Quarantined(Reason.NO_UNITS, "the injection has a time zone, the acquisition has none")


def _offset(zone: re.Match[str]) -> timedelta:
    ahead = timedelta(hours=int(zone[2]), minutes=int(zone[3]))
    return -ahead if zone[1] == "-" else ahead


def _moment(date: bytes, time: bytes) -> datetime | None:
    """A date and a time, of which minutes and seconds may be missing."""
    text = (date + time).decode("latin-1").replace(":", "")
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    day, hour, minute, second, fraction = found.groups(default="0")
    try:
        whole = datetime.strptime(day, "%Y%m%d")
        return whole.replace(
            hour=int(hour),
            minute=int(minute),
            second=min(int(second), 59),
            microsecond=int(fraction.ljust(6, "0")),
        )
    except ValueError:
        return None
