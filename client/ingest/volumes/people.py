"""What is known of an image without opening it: whose it is, what made it, what is in it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedvox.client.ingest.scan import HEAD
from fedvox.client.ingest.volumes.formats import stem
from fedvox.client.ingest.volumes.naming import Named, entities, patient_key
from fedvox.client.ingest.volumes.tables import PATIENT, Table, first_of

PATIENT_BY_NAME = "patient-by-name"
"""Flag: nothing said whose the image is; its file's name, or its folder's, stands for it."""
UNKNOWN_MODALITY = "OT"
"""DICOM's word for other."""
_MODALITIES = {
    "ct": "CT", "mr": "MR", "mri": "MR", "pet": "PT", "pt": "PT", "cr": "CR", "dx": "DX",
    "mg": "MG", "xr": "DX", "xray": "DX", "x-ray": "DX", "t1w": "MR", "t2w": "MR", "flair": "MR",
    "pdw": "MR", "t2starw": "MR", "inplanet1": "MR", "inplanet2": "MR", "unit1": "MR",
    "bold": "MR", "dwi": "MR", "angio": "MR", "swi": "MR", "asl": "MR",
}  # fmt: skip
_HEAD_FOLDERS = ("anat",)
_SIDECAR = {
    "Manufacturer": "manufacturer",
    "ManufacturersModelName": "model",
    "MagneticFieldStrength": "field_strength_t",
    "SliceThickness": "slice_thickness_mm",
    "KVP": "kvp_kv",
}
_SEXES = {"m": "M", "male": "M", "f": "F", "female": "F", "o": "O", "other": "O"}
_MOST_JSON_BYTES = 1 << 20
_OLDEST_YEARS = 130


@dataclass(frozen=True)
class About:
    """What is known of one image."""

    patient: str = field(repr=False)
    modality: str = UNKNOWN_MODALITY
    session: str = ""
    technical: Mapping[str, str | float] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()
    spacing_mm: tuple[float, float] = (1.0, 1.0)
    """Of a picture."""


def about(image: Named, tables: Sequence[Table], repeated: frozenset[str]) -> About:
    """By BIDS's names, by the tables, by the file beside it; `repeated` are keys of many files."""
    said = entities(image.path)
    row: dict[str, str] = {}
    for table in tables:
        row |= {k: v for k, v in (table.row_of(image.path) or {}).items() if v}
    patient = first_of(row, PATIENT) or (f"sub-{said['sub']}" if said else "")
    flags = set() if patient else {PATIENT_BY_NAME}
    if not patient and row:  # a table that lists cases and no patients counts a case as one
        flags.clear()
    if not patient:
        patient = image.folder.name if image.key in repeated else patient_key(image.key)
    modality = _modality(image.path, row)
    if modality == "MR" and image.folder.name in _HEAD_FOLDERS:
        flags.add(HEAD)
    return About(
        patient=patient,
        modality=modality,
        session=said.get("ses", row.get("session", "")),
        technical={"modality": modality, **_sidecar(image.path), **_person(row)},
        flags=frozenset(flags),
        spacing_mm=_spacing(row),
    )


def _modality(path: Path, row: Mapping[str, str]) -> str:
    words = (row.get("modality", ""), stem(path).rpartition("_")[2], path.parent.name)
    return next(
        (_MODALITIES[word.lower()] for word in words if word.lower() in _MODALITIES),
        UNKNOWN_MODALITY,
    )


def _person(row: Mapping[str, str]) -> dict[str, str | float]:
    found: dict[str, str | float] = {}
    if row.get("sex", "").lower() in _SEXES:
        found["sex"] = _SEXES[row["sex"].lower()]
    age = _number(row.get("age", row.get("age_years")))
    if age is not None and 0 <= age <= _OLDEST_YEARS:
        found["age_years"] = age
    return found


def _sidecar(path: Path) -> dict[str, str | float]:
    """What a BIDS sidecar says that may be kept."""
    told = read_json(path.with_name(f"{stem(path)}.json"))
    found: dict[str, str | float] = {}
    for key, name in _SIDECAR.items():
        value = told.get(key)
        if isinstance(value, str) and name in ("manufacturer", "model"):
            found[name] = value
        elif name not in ("manufacturer", "model") and (number := _number(value)):
            found[name] = number
    return found


def read_json(path: Path) -> dict[str, Any]:
    """An object of a small JSON file; empty where there is none that can be read."""
    try:
        if path.stat().st_size > _MOST_JSON_BYTES:
            return {}
        told = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _spacing(row: Mapping[str, str]) -> tuple[float, float]:
    """One number for both axes, or one for each."""
    sizes = [_number(word) for word in row.get("spacing_mm", "").replace("x", " ").split()]
    found = [size for size in sizes if size]
    return (found[0], found[-1]) if len(found) in (1, 2) else (1.0, 1.0)


def _number(value: object) -> float | None:
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
