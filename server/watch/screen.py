"""What the live console shows, as rich renderables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import ConsoleDimensions, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fedvox.server.report.wording import duration, metric_name, score
from fedvox.server.watch.outcome import closing_lines, outcomes
from fedvox.server.watch.progress import Progress, SiteProgress

_STYLES = {"waiting": "dim", "training": "yellow", "done": "green", "refused": "red"}
_ORDER = {"refused": 0, "training": 1, "waiting": 2, "done": 3}
_FRAME_LINES = 9
"""Lines of the screen that are not sites."""


def screen(known: Progress, size: ConsoleDimensions) -> RenderableType:
    """The whole picture, cut to the height of the terminal."""
    parts: list[RenderableType] = []
    if known.title:
        parts.append(Text(known.title, style="bold"))
    if known.preparing:
        parts.append(_bar(f"preparing {known.preparing}", *known.prepared))
    if known.rounds:
        parts.append(_bar(f"round {known.round} of {known.rounds}", known.closed, known.rounds))
        parts.append(_clock(known))
        parts.append(_sites(known, max(size.height - _FRAME_LINES - len(known.baselines), 3)))
    for name, (done, total) in list(known.baselines.items())[-6:]:
        parts.append(_bar(f"baseline {name}", done, total))
    return Group(*parts) if parts else Text("starting", style="dim")


def outcome_table(summary: Mapping[str, Any]) -> RenderableType:
    """The result of a run."""
    name = metric_name(str(summary.get("headline") or "result"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", overflow="fold")
    table.add_column(Text(f"{name}, all together"), justify="right")
    table.add_column(Text(f"{name}, at the site"), justify="right")
    for item in outcomes(summary):
        table.add_row(
            Text(item.name),
            score(item.together) if math.isfinite(item.together) else "",
            score(item.own) if math.isfinite(item.own) else "",
            style="bold" if item.strong else "",
        )
    return Group(table, *(Text(line, no_wrap=True) for line in closing_lines(summary)))


def _bar(label: str, done: int, total: int) -> RenderableType:
    row = Table.grid(padding=(0, 1))
    row.add_column(width=34, no_wrap=True, overflow="ellipsis")
    row.add_column(width=30)
    row.add_column(justify="right", no_wrap=True)
    counted = f"{done}/{total}" if total else ""
    row.add_row(Text(label), ProgressBar(total=max(total, 1), completed=done, width=30), counted)
    return row


def _clock(known: Progress) -> RenderableType:
    left = known.left_s
    parts = [f"{duration(known.elapsed_s)} elapsed"]
    if math.isfinite(left) and known.closed < known.rounds:
        parts.append(f"about {duration(left)} left for the rounds")
    if math.isfinite(known.loss):
        parts.append(f"loss {score(known.loss)}")
    if math.isfinite(known.metric):
        parts.append(f"{metric_name(known.headline)} {score(known.metric)}")
    return Text(" · ".join(parts), style="dim")


def _sites(known: Progress, lines: int) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("site", max_width=34, no_wrap=True, overflow="ellipsis")
    table.add_column("state", min_width=20, no_wrap=True)
    for column in ("patients", "loss", metric_name(known.headline)):
        table.add_column(Text(column), justify="right", min_width=8)
    rows = list(known.sites.items())
    if len(rows) > lines:  # what needs attention first; a stable sort keeps the order within
        rows.sort(key=lambda row: _ORDER[row[1].state])
    for name, site in rows[:lines]:
        table.add_row(Text(name), *_cells(site))
    if len(rows) > lines:
        table.add_row(Text(f"and {len(rows) - lines} more", style="dim"), _counts(known))
    return table


def _cells(site: SiteProgress) -> tuple[RenderableType, ...]:
    state = f"{site.state}: {site.reason}" if site.reason else site.state
    return (
        Text(state, style=_STYLES[site.state]),
        str(site.patients) if site.patients else "",
        score(site.loss) if math.isfinite(site.loss) else "",
        score(site.metric) if math.isfinite(site.metric) else "",
    )


def _counts(known: Progress) -> RenderableType:
    return Text(f"{known.count('done')} done, {known.count('refused')} refused", style="dim")
