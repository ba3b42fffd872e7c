"""The table of who holds what, printed once before the rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_MOST = 24
"""Sites shown one by one; more than fit on a screen help nobody."""


def holding_lines(detail: Mapping[str, Any]) -> list[str]:
    """Patients by site, split and stratum, in columns."""
    sites: Sequence[Mapping[str, Any]] = detail.get("sites", ())
    strata = list(dict.fromkeys(name for site in sites for name in site["strata"]))
    rows = [["site", "train", "validation", "test", *strata]]
    rows += [_row(site, strata) for site in sites[:_MOST]]
    if len(sites) > 1:
        rows.append(_total(sites, strata))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    if len(sites) > _MOST:
        lines.insert(-1, f"and {len(sites) - _MOST} more")
    return lines


def _row(site: Mapping[str, Any], strata: Sequence[str]) -> list[str]:
    counts = [site["strata"].get(name, 0) for name in strata]
    return [site["name"], *map(str, (site["train"], site["validation"], site["test"], *counts))]


def _total(sites: Sequence[Mapping[str, Any]], strata: Sequence[str]) -> list[str]:
    splits = [sum(site[split] for site in sites) for split in ("train", "validation", "test")]
    counts = [sum(site["strata"].get(name, 0) for site in sites) for name in strata]
    return ["all", *map(str, (*splits, *counts))]
