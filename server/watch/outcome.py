"""The result of a run in a few lines: federated, pooled, the best site alone, each site."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedvox.server.report.parse import figures, mapping
from fedvox.server.report.wording import duration, lower_is_better, metric_name, score

SITES_SHOWN = 12


@dataclass(frozen=True)
class Outcome:
    """One line of the result: a model and its headline metric."""

    name: str
    together: float
    """On all test patients together; NaN for a line about one site's own."""
    own: float = math.nan
    """On the site's own test patients."""
    strong: bool = False


def outcomes(summary: Mapping[str, Any]) -> list[Outcome]:
    """The lines of the result."""
    key = str(summary.get("headline") or "")
    union = figures(summary.get("union")) or figures(summary.get("metrics"))
    found = [Outcome("federated", union.get(key, math.nan), strong=True)]
    baselines = mapping(summary.get("baselines"))
    if pooled := mapping(baselines.get("pooled")):
        found.append(Outcome("pooled", figures(pooled.get("metrics")).get(key, math.nan)))
    alone = [
        (figures(mapping(item).get("metrics")).get(key, math.nan), str(name))
        for name, item in mapping(baselines.get("local")).items()
    ]
    if known := [pair for pair in alone if math.isfinite(pair[0])]:
        value, name = (min if lower_is_better(key) else max)(known)
        found.append(Outcome(f"best site alone ({name})", value))
    return found + _at_sites(summary, key)


def _at_sites(summary: Mapping[str, Any], key: str) -> list[Outcome]:
    listed = summary.get("sites")
    sites = [mapping(item) for item in listed] if isinstance(listed, list) else []
    return [
        Outcome(
            f"federated at {item.get('name', '')}",
            math.nan,
            figures(item.get("metrics")).get(key, math.nan),
        )
        for item in sites[:SITES_SHOWN]
    ]


def outcome_lines(summary: Mapping[str, Any]) -> list[str]:
    """The result as plain text."""
    found = outcomes(summary)
    name = metric_name(str(summary.get("headline") or "result"))
    width = max(len(item.name) for item in found)
    lines = [f"{name} on test patients"]
    for item in found:
        value = item.together if math.isfinite(item.together) else item.own
        lines.append(f"  {item.name:<{width}}  {score(value)}")
    return lines + closing_lines(summary)


def closing_lines(summary: Mapping[str, Any]) -> list[str]:
    """Sites not shown, time taken, and where the report is."""
    listed = summary.get("sites")
    left = len(listed) - SITES_SHOWN if isinstance(listed, list) else 0
    lines = [f"  and {left} more sites in summary.json"] if left > 0 else []
    wall_s = summary.get("wall_s")
    if isinstance(wall_s, int | float):
        lines.append(f"{summary.get('status', 'done')} in {duration(wall_s)}")
    if report := summary.get("report"):
        lines.append(f"report: {report}")
    return lines
