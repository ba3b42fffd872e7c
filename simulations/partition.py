"""Who holds what: patients dealt out to sites, and each site's patients to splits."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedvox.common.errors import DataError, ResourceError
from fedvox.common.study.schema import Study
from fedvox.simulations.naming import natural
from fedvox.simulations.patients import SPLITS, patients_of
from fedvox.simulations.sharing import assign_sites
from fedvox.simulations.sources.source import CaseRef
from fedvox.simulations.splitting import split_site

_COLUMNS = ("case", "patient", "site", "split")


@dataclass(frozen=True, order=True)
class Row:
    """Where a case is used."""

    site: str
    split: str
    patient: str
    case: str


def partition(refs: Sequence[CaseRef], strata: Mapping[str, int], study: Study) -> tuple[Row, ...]:
    """Deals all patients of `refs` out to sites and splits, as `study.data.partition` says.

    `strata` is the class of each case, or the tertile of its label volume (see `tertiles`).
    """
    if not refs:
        raise DataError("data.partition: there is no case to deal out")
    patients, sites = assign_sites(patients_of(refs, strata), study)
    rows = []
    for site in sorted({*sites.values()}, key=natural):
        own = [patient for patient in patients if sites[patient.name] == site]
        splits = split_site(own, site, study)
        rows += [Row(site, splits[p.name], p.name, ref.case) for p in own for ref in p.refs]
    return tuple(sorted(rows, key=lambda row: (natural(row.site), row.split, row.case)))


def tertiles(volumes: Mapping[str, float]) -> dict[str, int]:
    """Stratum of each case by its label volume: 0 low, 1 middle, 2 high."""
    ordered = sorted(volumes, key=lambda case: (volumes[case], case))
    return {case: place * 3 // len(ordered) for place, case in enumerate(ordered)}


def write_partition(path: Path, rows: Sequence[Row]) -> None:
    """Writes a csv that `file:PATH` and `read_partition` take."""
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            table_of = csv.writer(file, lineterminator="\n")
            table_of.writerow(_COLUMNS)
            table_of.writerows([row.case, row.patient, row.site, row.split] for row in rows)
    except OSError as error:
        raise ResourceError(f"{path}: cannot be written: {error.strerror}") from None


def read_partition(path: Path) -> tuple[Row, ...]:
    """The rows of a csv that `write_partition` wrote."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return tuple(Row(row["site"], row["split"], row["patient"], row["case"]) for row in rows)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    except KeyError as error:
        raise DataError(f"{path}: has no column {error}; it needs {', '.join(_COLUMNS)}") from None


@dataclass(frozen=True)
class SiteCount:
    """How many patients a site holds; the last line of a table is the total."""

    site: str
    patients: int
    train: int
    validation: int
    test: int
    by_stratum: tuple[int, ...]
    """Patients by class or tertile."""


def table(rows: Sequence[Row], strata: Mapping[str, int]) -> tuple[SiteCount, ...]:
    """Patients by site, split and stratum, for printing."""
    levels = max((strata.get(row.case, 0) for row in rows), default=0) + 1
    by_site: dict[str, list[Row]] = {}
    for row in rows:
        by_site.setdefault(row.site, []).append(row)
    lines = [_count(site, own, strata, levels) for site, own in by_site.items()]
    return (*lines, _count("all", rows, strata, levels))


def _count(site: str, rows: Sequence[Row], strata: Mapping[str, int], levels: int) -> SiteCount:
    split_of = {row.patient: row.split for row in rows}
    level_of: dict[str, int] = {}
    for row in rows:
        level_of[row.patient] = max(level_of.get(row.patient, 0), strata.get(row.case, 0))
    train, validation, test = (list(split_of.values()).count(split) for split in SPLITS)
    by_stratum = tuple(list(level_of.values()).count(level) for level in range(levels))
    return SiteCount(site, len(split_of), train, validation, test, by_stratum)
