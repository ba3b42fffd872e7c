"""The table that may lie beside the images: cases.csv or participants.tsv."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedvox.client.ingest.volumes.formats import stem
from fedvox.common.errors import DataError
from fedvox.simulations.sources.source import CaseRef

_TABLES = (("cases.csv", ","), ("participants.tsv", "\t"))
_KEYS = ("case", "participant_id")


@dataclass(frozen=True)
class Columns:
    """Rows by case, or by participant."""

    file: str
    """Name of the table, empty where there is none."""
    by: str
    rows: Mapping[str, Mapping[str, str]]

    def ref(self, case: str) -> CaseRef:
        """The case with what the table says of it."""
        key = self._key(case)
        if key is None:
            return CaseRef(case, case)
        row = dict(self.rows[key])
        patient = row.pop("patient", "") or (key if self.by == "participant_id" else case)
        return CaseRef(case, patient, row)

    def _key(self, case: str) -> str | None:
        if case in self.rows:
            return case
        if self.by != "participant_id":
            return None
        parts = case.split("_")  # a participant's images are named PARTICIPANT_anything
        starts = ("_".join(parts[:count]) for count in range(len(parts), 0, -1))
        return next((start for start in starts if start in self.rows), None)


def read_columns(folder: Path) -> Columns:
    """The table in `folder`, if there is one."""
    for name, separator in _TABLES:
        if (folder / name).is_file():
            return _read(folder / name, separator)
    return Columns("", "", {})


def _read(path: Path, separator: str) -> Columns:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    reader = csv.DictReader(text.splitlines(), delimiter=separator)
    names = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = names
    key = next((key for key in _KEYS if key in names), None)
    if key is None:
        raise DataError(f"{path}: needs a column 'case' or 'participant_id'; it has {names}")
    rows: dict[str, Mapping[str, str]] = {}
    for line, row in enumerate(reader, start=2):
        values = {name: (value or "").strip() for name, value in row.items() if name}
        case = stem(values.pop(key))
        if case in rows:
            raise DataError(f"{path}, line {line}: {case!r} stands twice; keep one row")
        rows[case] = values
    return Columns(path.name, key, rows)
