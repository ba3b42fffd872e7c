"""Runs side by side: what they reached, what they cost, and in which keys their studies differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from pydantic import BaseModel

from fedvox.common.study.load import toml_value
from fedvox.server.report.compare_chart import compare_chart
from fedvox.server.report.findings import strategy_name
from fedvox.server.report.load import load_run
from fedvox.server.report.page import resource, template
from fedvox.server.report.privacy import is_private, spent
from fedvox.server.report.records import Run
from fedvox.server.report.standing import best_alone
from fedvox.server.report.tables import Table
from fedvox.server.report.wording import (
    byte_count,
    duration,
    epsilon_spent,
    metric_name,
    score,
    split_metric,
    whole,
)

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Named:
    """A run and the name that tells it from the others."""

    name: str
    run: Run


def load_runs(folders: Sequence[Path]) -> tuple[Named, ...]:
    """The runs in these folders, each with a name of its own."""
    runs = [load_run(folder) for folder in folders]
    names = [run.name for run in runs]
    return tuple(
        Named(str(folder) if names.count(run.name) > 1 else run.name, run)
        for folder, run in zip(folders, runs, strict=True)
    )


def result_table(runs: Sequence[Named]) -> Table:
    """A row a run: strategy, rounds, metrics, epsilon if any has one, baselines, traffic, time."""
    headlines = list(dict.fromkeys(item.run.headline for item in runs))
    others = list(dict.fromkeys(key for item in runs for key in _overall(item.run)))
    keys = headlines + [key for key in others if key not in headlines]
    private = any(is_private(item.run) for item in runs)
    columns = ("Run", "Strategy", "Rounds", *(metric_name(key) for key in keys))
    columns += (("Epsilon",) if private else ()) + ("Pooled", "Best alone", "Traffic", "Time")
    return Table(columns, tuple(_row(item, keys, private) for item in runs))


def difference_table(runs: Sequence[Named]) -> Table | None:
    """Keys of the study file that are not the same in all runs; None where there are none."""
    found = differences(runs)
    if not found:
        return None
    rows = tuple((key, *(toml_value(value) for value in values)) for key, values in found.items())
    return Table(("Key", *(item.name for item in runs)), rows)


def differences(runs: Sequence[Named]) -> dict[str, list[Any]]:
    """Values by run of every study key that differs."""
    flat = [_flat(item.run.study) for item in runs]
    return {
        key: [values[key] for values in flat]
        for key in flat[0]
        if any(values[key] != flat[0][key] for values in flat)
    }


def as_plain(runs: Sequence[Named]) -> dict[str, Any]:
    """The comparison for machines."""
    return {
        "runs": [_plain(item) for item in runs],
        "differences": {
            key: {item.name: value for item, value in zip(runs, values, strict=True)}
            for key, values in differences(runs).items()
        },
    }


def compare_html(runs: Sequence[Named]) -> str:
    """The comparison as a page in one file."""
    page: str = template("compare.html").render(
        css=Markup(resource("style.css")),
        runs=runs,
        results=result_table(runs),
        differences=difference_table(runs),
        chart=compare_chart([(item.name, item.run) for item in runs]),
        headline=metric_name(runs[0].run.headline),
    )
    return page


def print_table(runs: Sequence[Named], console: Console | None = None) -> None:
    """The comparison in the terminal: a column a run, so that names and figures have room."""
    from rich.console import Console

    console = console or Console()
    results = result_table(runs)
    turned = tuple(zip(results.columns, *results.rows, strict=True))
    console.print(_rich(turned))
    if table := difference_table(runs):
        console.print("Keys in which the studies differ")
        console.print(_rich((table.columns, *table.rows)))
    else:
        console.print("The study files say the same.")


def _rich(rows: Sequence[Sequence[str]]) -> Any:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=box.SIMPLE_HEAD)
    for index, column in enumerate(rows[0]):
        drawn.add_column(Text(column), justify="right" if index else "left", overflow="fold")
    for row in rows[1:]:
        drawn.add_row(*(Text(value) for value in row))
    return drawn


def _row(item: Named, keys: Sequence[str], private: bool) -> tuple[str, ...]:
    run = item.run
    best = best_alone(run)
    metrics = _overall(run)
    return (
        item.name,
        strategy_name(run.study.strategy.name),
        f"{whole(len(run.rounds))}/{whole(run.study.training.rounds)}",
        *(score(metrics.get(key, math.nan)) for key in keys),
        *((_epsilon(run),) if private else ()),
        score(run.pooled.metrics.get(run.headline, math.nan) if run.pooled else math.nan),
        score(best.metrics.get(run.headline, math.nan) if best else math.nan),
        byte_count(run.number("bytes_up") + run.number("bytes_down")),
        duration(run.number("wall_s")),
    )


def _epsilon(run: Run) -> str:
    return epsilon_spent(spent(run).epsilon) if is_private(run) else "none"


def _overall(run: Run) -> Mapping[str, float]:
    """Metrics over all classes, of all test patients together."""
    found = run.union or run.metrics
    return {key: v for key, v in found.items() if not split_metric(key, run.classes)[1]}


def _plain(item: Named) -> dict[str, Any]:
    run = item.run
    best = best_alone(run)
    return {
        "name": item.name,
        "folder": str(run.folder),
        "status": run.status,
        "strategy": run.study.strategy.name,
        "rounds_completed": len(run.rounds),
        "headline": run.headline,
        "union": _finite(run.union),
        "metrics": _finite(run.metrics),
        "privacy": {"mode": run.study.privacy.mode, **_finite(vars(spent(run)))},
        "pooled": _finite(run.pooled.metrics) if run.pooled else None,
        "best_alone": {"site": best.name, "metrics": _finite(best.metrics)} if best else None,
        **_finite({key: run.number(key) for key in ("bytes_up", "bytes_down", "wall_s")}),
        "model_sha256": run.text("model_sha256"),
    }


def _finite(figures: Mapping[str, float]) -> dict[str, float | None]:
    return {key: value if math.isfinite(value) else None for key, value in figures.items()}


def _flat(section: BaseModel, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = list(value) if isinstance(value, tuple) else value
    return found
