"""Tables beside images: whose they are, what class they have, what else is known."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.volumes.formats import stem

KEYS = (
    "file", "filename", "image", "path", "case", "participant_id", "series_uid",
    "seriesinstanceuid", "study_uid", "studyinstanceuid", "patient", "patient_id", "patientid",
)  # fmt: skip
"""Columns that a row may be known by; the first that a table has counts."""
FILE_KEYS = KEYS[:4]
PATIENT = ("patient", "patient_id", "patientid", "participant_id")
CLASS = ("class", "label", "diagnosis", "target")
_MOST_BYTES = 64 << 20

Row = Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """The rows of a table by its key column. Names of columns are in lower case."""

    path: Path = field(repr=False)
    key: str
    rows: Mapping[str, Row] = field(repr=False)

    def row(self, *names: str) -> Row | None:
        """The row of the first name that has one: file names count without folder and suffix."""
        for name in names:
            found = self.rows.get(name) if name else None
            if found is not None:
                return found
        return None

    def row_of(self, path: Path) -> Row | None:
        """The row of a file: by its path below the table's folder, its name, or its stem."""
        try:
            below = str(path.relative_to(self.path.parent))
        except ValueError:
            below = ""
        name = stem(path)
        return self.row(below, path.name, name, name.split("_")[0] if self.by_person else "")

    @property
    def by_person(self) -> bool:
        """Whether a row speaks of a participant and all of their images."""
        return self.key == "participant_id"


def first_of(row: Row, columns: tuple[str, ...]) -> str:
    """The first of these columns that is filled in."""
    return next((row[column] for column in columns if row.get(column)), "")


def read_table(path: Path) -> Table | None:
    """The table, None where no column says what its rows are about."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise Quarantined(Reason.TOO_LARGE, f"{path.name}: a table of more than 64 MiB")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise Quarantined(Reason.UNREADABLE, f"{path.name}: not a table in UTF-8") from None
    try:
        return _parse(path, text)
    except csv.Error as error:
        raise Quarantined(Reason.UNREADABLE, f"{path.name}: {error}") from None


def _parse(path: Path, text: str) -> Table | None:
    lines = text.splitlines()
    first = lines[0] if lines else ""
    separator = max("\t;,", key=first.count)
    reader = csv.DictReader(lines, delimiter=separator)
    columns = [column.strip().lower() for column in reader.fieldnames or ()]
    reader.fieldnames = columns
    key = next((key for key in KEYS if key in columns), None)
    if key is None:
        return None
    rows: dict[str, Row] = {}
    for line, read in enumerate(reader, start=2):
        row = {name: (value or "").strip() for name, value in read.items() if name}
        if not row[key]:
            continue
        if rows.setdefault(row[key], row) is not row:
            raise Quarantined(Reason.UNREADABLE, f"{path.name}, line {line}: a row stands twice")
    return Table(path, key, rows)
