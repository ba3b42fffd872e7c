"""The few technical attributes that a scan keeps."""

from __future__ import annotations

from datetime import date

from fedvox.client.ingest.reading.frames import Common
from fedvox.client.ingest.reading.header import Header
from fedvox.client.ingest.reading.tags import Tag

_TEXTS = {"manufacturer": Tag.MANUFACTURER, "model": Tag.MODEL}
_NUMBERS = {
    "kvp_kv": Tag.KVP,
    "field_strength_t": Tag.FIELD_STRENGTH,
    "slice_thickness_mm": Tag.SLICE_THICKNESS,
}
_YEARS_IN = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_OLDEST_YEARS = 130


def technical_of(common: Common) -> dict[str, str | float]:
    """What the allow-list names and the header says."""
    header = common.header
    found: dict[str, str | float] = {"modality": common.modality}
    found |= {name: text for name, tag in _TEXTS.items() if (text := header.text(tag))}
    numbers = {name: header.number(tag) for name, tag in _NUMBERS.items()}
    found |= {name: number for name, number in numbers.items() if number and number > 0}
    sex = header.text(Tag.SEX).upper()
    if sex in ("F", "M", "O"):
        found["sex"] = sex
    age = _age_years(header)
    if age is not None:
        found["age_years"] = age
    return found


def _age_years(header: Header) -> float | None:
    text = header.text(Tag.AGE).upper()
    if len(text) >= 2 and text[:-1].isdecimal() and text[-1] in _YEARS_IN:
        return _sensible(int(text[:-1]) * _YEARS_IN[text[-1]])
    try:
        born = date.fromisoformat(header.text(Tag.BIRTH_DATE))
        seen = date.fromisoformat(header.text(Tag.STUDY_DATE))
    except ValueError:
        return None
    return _sensible((seen - born).days / 365.25)


def _sensible(years: float) -> float | None:
    return years if 0 <= years <= _OLDEST_YEARS else None
