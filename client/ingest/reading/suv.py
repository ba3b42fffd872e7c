"""PET activity as standardised uptake values by body weight."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fedvox.client.ingest.reading.frames import Frame
from fedvox.client.ingest.reading.header import Header
from fedvox.client.ingest.reading.tags import PHASE_TAGS, Tag
from fedvox.client.ingest.reasons import Quarantined, Reason

_GRAMS = 1000.0
_DAY_S = 86_400.0
_LONGEST_S = 5 * _DAY_S
_ACQUIRED = PHASE_TAGS.index(Tag.ACQUISITION_TIME)


def suv_factors(frames: Sequence[Frame]) -> list[float]:
    """What each frame's rescaled voxels are multiplied by; Quarantined where it is not known."""
    header = frames[0].common.header
    units = header.text(Tag.UNITS).upper()
    if units == "GML" and header.text(Tag.SUV_TYPE).upper() in ("", "BW"):
        return [1.0] * len(frames)
    if units == "CNTS":
        factor = header.number(Tag.PHILIPS_SUV_FACTOR)
        if factor and factor > 0:
            return [factor] * len(frames)
    if units != "BQML":
        raise Quarantined(Reason.NO_UNITS, f"units {units or 'missing'}")
    return _from_activity(frames, header)


def _from_activity(frames: Sequence[Frame], header: Header) -> list[float]:
    items = header.items(Tag.RADIOPHARMACEUTICAL)
    given = header.within(items[0]) if items else header.within({})
    weight_kg = header.number(Tag.WEIGHT_KG) or 0.0
    dose_bq = given.number(Tag.DOSE_BQ) or 0.0
    half_life_s = given.number(Tag.HALF_LIFE_S) or 0.0
    if not (0 < weight_kg < 1000 and dose_bq > 0 and half_life_s > 0):
        raise Quarantined(Reason.NO_UNITS, "weight, dose or half-life is missing")
    correction = header.text(Tag.DECAY_CORRECTION).upper()
    scale = weight_kg * _GRAMS / dose_bq
    if correction == "ADMIN":
        return [scale] * len(frames)
    waits_s = _waits_s(frames, header, given, correction)
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
    return [_wait_s(given, moment) for moment in moments]


def _wait_s(given: Header, moment: datetime | None) -> float:
    if moment is None:
        raise Quarantined(Reason.NO_UNITS, "the time of the acquisition is missing")
    whole = given.raw(Tag.INJECTION_DATETIME)
    if whole:
        injected = _moment(whole[:8], whole[8:].split(b"+")[0].split(b"-")[0])
    else:
        injected = _moment(moment.strftime("%Y%m%d").encode(), given.raw(Tag.INJECTION_TIME))
    if injected is None:
        raise Quarantined(Reason.NO_UNITS, "the time of the injection is missing")
    wait_s = (moment - injected).total_seconds()
    if wait_s < 0 and not whole:  # injected before midnight
        wait_s += _DAY_S
    if not 0 <= wait_s <= _LONGEST_S:
        raise Quarantined(Reason.NO_UNITS, "the injection does not precede the acquisition")
    return wait_s


def _moment(date: bytes, time: bytes) -> datetime | None:
    text = (date + time.split(b".")[0]).decode("latin-1").replace(":", "")
    fraction = time.split(b".")[1] if b"." in time else b"0"
    try:
        whole = datetime.strptime(text, "%Y%m%d%H%M%S")
        return whole.replace(microsecond=int(fraction[:6].ljust(6, b"0")))
    except ValueError:
        return None
