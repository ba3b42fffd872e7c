"""What the store may know of a scan beside its voxels: an allow-list, made coarse.

Whatever is not listed is dropped. What is listed is not copied but rebuilt: numbers as rounded
numbers, names as one of a fixed set, so that free text cannot ride along in any field.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Attribute = str | float

_MODALITIES = frozenset({"CT", "MR", "PT", "CR", "DX", "MG", "US", "NM", "XA", "RF", "OT"})
_VENDORS = {
    "siemens": "Siemens",
    "ge medical": "GE",
    "ge healthcare": "GE",
    "general electric": "GE",
    "philips": "Philips",
    "canon": "Canon",
    "toshiba": "Toshiba",
    "hitachi": "Hitachi",
    "fujifilm": "Fujifilm",
    "agfa": "Agfa",
    "carestream": "Carestream",
    "kodak": "Carestream",
    "hologic": "Hologic",
    "lorad": "Hologic",
    "samsung": "Samsung",
    "united imaging": "United Imaging",
    "uih": "United Imaging",
    "neusoft": "Neusoft",
    "mindray": "Mindray",
    "shimadzu": "Shimadzu",
    "konica": "Konica Minolta",
    "esaote": "Esaote",
    "bruker": "Bruker",
}
"""What a manufacturer's name begins with or holds -> the one spelling that is kept."""
_OLDEST_BAND = 90


@dataclass(frozen=True)
class Kept:
    """Which attributes of the person the site's policy lets into the store."""

    age: bool = False
    """As a band of ten years; above 89 as one band."""
    sex: bool = False


def attributes(
    technical: Mapping[str, str | float], kept: Kept | None = None
) -> dict[str, Attribute]:
    """The attributes that are kept, coarse; what does not read as what it should be is dropped."""
    kept = kept or Kept()
    rules: dict[str, tuple[str, Callable[[str | float], Attribute | None]]] = {
        "modality": ("modality", modality),
        "kvp_kv": ("kvp_kv", lambda value: _number(value, 0, 10, 500)),
        "field_strength_t": ("field_strength_t", lambda value: _number(value, 1, 0.01, 30)),
        "manufacturer": ("manufacturer", vendor),
        "slice_thickness_mm": ("slice_thickness_mm", lambda value: _number(value, 2, 0, 500)),
    }
    if kept.age:
        rules["age_years"] = ("age_band", _age_band)
    if kept.sex:
        rules["sex"] = ("sex", _sex)
    found = {name: make(technical[key]) for key, (name, make) in rules.items() if key in technical}
    return {name: value for name, value in sorted(found.items()) if value is not None}


def modality(value: str | float) -> str | None:
    """The modality, where it is one that is known."""
    text = str(value).strip().upper()
    return text if text in _MODALITIES else None


def vendor(value: str | float) -> str:
    """The one spelling of a manufacturer that is kept; other where he is not known."""
    text = " ".join(str(value).lower().split())
    known = (name for mark, name in _VENDORS.items() if mark in text)
    return next(known, "GE" if text == "ge" else "other")


def _sex(value: str | float) -> str | None:
    text = str(value).strip().upper()
    return text if text in ("F", "M", "O") else None


def _age_band(value: str | float) -> str | None:
    years = _number(value, 0, 0, 130)
    if years is None:
        return None
    if years >= _OLDEST_BAND:
        return f"{_OLDEST_BAND}+"
    decade = int(years // 10 * 10)
    return f"{decade}-{decade + 9}"


def _number(value: str | float, digits: int, low: float, high: float) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    inside = math.isfinite(number) and low <= number <= high
    return round(number, digits) if inside else None
