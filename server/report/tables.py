"""The report's tables as plain rows: classes, sites, trained-on by tested-on, confusion."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fedvox.server.report.draw import SITES_BY_NAME
from fedvox.server.report.records import Baseline, Figures, Run, Site
from fedvox.server.report.standing import ranked
from fedvox.server.report.wording import lower_is_better, metric_name, score, split_metric, whole


@dataclass(frozen=True)
class Cell:
    """A cell of a heat map."""

    text: str
    heat: float
    """0 to 1."""


@dataclass(frozen=True)
class Table:
    """Columns and rows of text; the first column names the row."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Heat:
    """A heat map with the names of rows and columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def class_table(run: Run) -> Table | None:
    """Metrics of each class on all test patients; None where there are none by class."""
    found = _by_class(run.union or run.metrics, run.classes)
    for metric, values in _from_confusion(run).items():
        found.setdefault(metric, values)
    if not found:
        return None
    names = [name for name in run.classes if any(name in values for values in found.values())]
    pooled = _by_class(run.pooled.metrics, run.classes) if run.pooled else {}
    main = run.headline if run.headline in found else next(iter(found))
    columns: list[tuple[str, Mapping[str, float], Callable[[float], str]]]
    columns = [(metric_name(m), values, score) for m, values in found.items()]
    if pooled.get(main):
        columns.append((f"{metric_name(main)}, pooled", pooled[main], score))
    if patients := _patients(run):
        columns.append(("Test patients", patients, whole))
    rows = tuple(
        (name, *(write(values.get(name, math.nan)) for _, values, write in columns))
        for name in names
    )
    return Table(("Class", *(label for label, _, _ in columns)), rows)


def _by_class(metrics: Figures, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for key, value in metrics.items():
        metric, name = split_metric(key, classes)
        if name:
            found.setdefault(metric, {})[name] = value
    return found


def _from_confusion(run: Run) -> dict[str, dict[str, float]]:
    """Sensitivity and specificity of each class, should the metrics not hold them."""
    matrix = run.tally.confusion
    total = sum(map(sum, matrix))
    if not total or len(matrix) != len(run.classes):
        return {}
    metrics: dict[str, dict[str, float]] = {"sensitivity": {}, "specificity": {}}
    for index, name in enumerate(run.classes):
        positive, hit = sum(matrix[index]), matrix[index][index]
        negative = total - positive
        called = sum(row[index] for row in matrix)
        metrics["sensitivity"][name] = hit / positive if positive else math.nan
        metrics["specificity"][name] = 1 - (called - hit) / negative if negative else math.nan
    return metrics


def _patients(run: Run) -> dict[str, float]:
    """Test patients of each class."""
    matrix = run.tally.confusion
    if len(matrix) != len(run.classes):
        return {}
    return {name: float(sum(row)) for name, row in zip(run.classes, matrix, strict=True)}


def metric_table(run: Run) -> Table | None:
    """Metrics over all classes: of all test patients together and as the mean over sites."""
    keys = [
        key
        for key in dict.fromkeys((*run.union, *run.metrics))
        if not split_metric(key, run.classes)[1]
    ]
    if not keys:
        return None
    models: list[tuple[str, Figures]] = [
        ("Federated, together", run.union),
        ("Federated, site mean", run.metrics),
    ]
    if run.pooled is not None:
        models.append(("Pooled, together", run.pooled.metrics))
    rows = tuple(
        (metric_name(key), *(score(metrics.get(key, math.nan)) for _, metrics in models))
        for key in keys
    )
    return Table(("Metric", *(name for name, _ in models)), rows)


def site_table(run: Run) -> Table | None:
    """Every site: its patients, the model's headline metric there, and its refusals."""
    if not run.sites:
        return None
    alone = {baseline.name: baseline for baseline in run.alone}
    columns = ["Site", "Train", "Validation", "Test", metric_name(run.headline)]
    if alone:
        columns.append("Alone")
    columns.append("Refused")
    rows = tuple(_site_row(site, alone, run.headline) for site in run.sites)
    return Table(tuple(columns), rows)


def _site_row(site: Site, alone: Mapping[str, Baseline], headline: str) -> tuple[str, ...]:
    held = [whole(site.patients.get(split, 0)) for split in ("train", "validation", "test")]
    row = [site.name, *held, score(site.metrics.get(headline, math.nan))]
    if alone:
        own = alone[site.name].own if site.name in alone else {}
        row.append(score(own.get(headline, math.nan)))
    return (*row, whole(site.rounds_refused))


def matrix(run: Run) -> Heat | None:
    """The headline metric of every model at every site; None where the table would say little."""
    if len(run.sites) > SITES_BY_NAME or not (run.pooled or run.alone):
        return None
    key = run.headline
    names = [site.name for site in run.sites]
    lines: list[tuple[str, list[float]]] = [
        ("Federated", [s.metrics.get(key, math.nan) for s in run.sites] + [run.score])
    ]
    trained = ([run.pooled] if run.pooled else []) + list(ranked(run))
    for baseline in trained:
        tested = [baseline.sites.get(name, {}).get(key, math.nan) for name in names]
        label = "Pooled" if baseline is run.pooled else baseline.name
        lines.append((label, [*tested, baseline.metrics.get(key, math.nan)]))
    heats = _heats([value for _, values in lines for value in values], lower_is_better(key))
    cells = iter(heats)
    rows = tuple(
        (label, tuple(Cell(score(value), next(cells)) for value in values))
        for label, values in lines
    )
    return Heat((*names, "all"), rows)


def _heats(values: Sequence[float], inverted: bool) -> list[float]:
    known = [value for value in values if math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    span = (high - low) or 1.0
    heats = [(value - low) / span if math.isfinite(value) else 0.0 for value in values]
    return [1 - heat for heat in heats] if inverted else heats


def confusion(run: Run) -> Heat | None:
    """Counts of test patients, coloured by the share of their true class."""
    counts = run.tally.confusion
    if not counts:
        return None
    names = run.classes if len(run.classes) == len(counts) else tuple(map(str, range(len(counts))))
    rows = tuple(
        (name, tuple(Cell(whole(n), n / max(sum(row), 1)) for n in row))
        for name, row in zip(names, counts, strict=True)
    )
    return Heat(names, rows)
