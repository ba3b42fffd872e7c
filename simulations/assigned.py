"""Sites that are written down: in a column of the source's table, or in a file of their own."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fedvox.common.errors import DataError, nearest
from fedvox.simulations.naming import safe_names
from fedvox.simulations.patients import SPLITS, Patient

_SPLIT_NAMES = {**{split: split for split in SPLITS}, "val": "validation", "": ""}


def by_column(patients: Sequence[Patient], column: str) -> dict[str, str]:
    """Site of each patient: the value of a column."""
    values = {patient.name: _value(patient, column) for patient in patients}
    names = safe_names(values.values())
    return {patient: names[value] for patient, value in values.items()}


def by_file(patients: Sequence[Patient], path: Path) -> tuple[list[Patient], dict[str, str]]:
    """The patients that a csv gives a site, and that site; an empty site leaves a patient out."""
    told = _read(path)
    kept, sites = [], {}
    for patient in patients:
        places = [told.of(patient.name, ref.case) for ref in patient.refs]
        missing = next((ref for ref, at in zip(patient.refs, places, strict=True) if not at), None)
        if missing:
            raise DataError(
                f"data.partition: {path}: does not name case {missing.case!r}; add it (an empty "
                "site leaves it out)"
            )
        found = {place for place in places if place}
        if len(found) > 1:
            raise DataError(
                f"data.partition: {path}: patient {patient.name!r} stands in more than one site or "
                "split; all cases of a patient belong together"
            )
        site, split = found.pop()
        if site:
            kept.append(replace(patient, split=split))
            sites[patient.name] = site
    if not kept:
        raise DataError(f"data.partition: {path}: gives no case a site")
    names = safe_names(sites.values())
    return kept, {patient: names[site] for patient, site in sites.items()}


@dataclass(frozen=True)
class _Told:
    key: str
    places: Mapping[str, tuple[str, str]]

    def of(self, patient: str, case: str) -> tuple[str, str] | None:
        return self.places.get(case if self.key == "case" else patient)


def _read(path: Path) -> _Told:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"data.partition: {path}: cannot be read: {error}") from None
    columns = reader.fieldnames or ()
    key = next((key for key in ("case", "patient") if key in columns), None)
    if key is None or "site" not in columns:
        raise DataError(
            f"data.partition: {path}: needs columns 'case' or 'patient', and 'site'; 'split' is "
            f"optional; it has {', '.join(columns) or 'none'}"
        )
    places: dict[str, tuple[str, str]] = {}
    for line, row in enumerate(rows, start=2):
        split = _SPLIT_NAMES.get((row.get("split") or "").strip())
        if split is None:
            raise DataError(
                f"data.partition: {path}, line {line}: unknown split {row['split']!r}; "
                f"{nearest(row['split'], SPLITS)}"
            )
        name, place = (row[key] or "").strip(), ((row["site"] or "").strip(), split)
        if places.setdefault(name, place) != place:
            raise DataError(f"data.partition: {path}, line {line}: {name!r} stands twice, unlike")
    return _Told(key, places)


def _value(patient: Patient, column: str) -> str:
    values = {ref.columns.get(column, "") for ref in patient.refs}
    if len(values) > 1:
        raise DataError(
            f"data.partition: column:{column}: patient {patient.name!r} has several values "
            f"({', '.join(sorted(values))}); all cases of a patient belong to one site"
        )
    value = values.pop()
    if not value:
        known = patient.refs[0].columns
        hint = nearest(column, known) if known else "there is no cases.csv or participants.tsv"
        raise DataError(
            f"data.partition: column:{column}: case {patient.refs[0].case!r} has no such value; "
            + (hint if column not in known else "fill it in")
        )
    return value
