"""Epsilon over time as a drawing: every study, and the data's whole life, against the caps."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fedvox.client.ledger.summary import Summary
from fedvox.common.errors import InputError
from fedvox.common.files import write_bytes_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(summaries: Sequence[Summary], path: Path) -> None:
    """Writes an SVG with one panel for each ledger."""
    from matplotlib.figure import Figure

    if path.suffix != ".svg":
        raise InputError(f"--plot {path}: only SVG is written; give a name that ends in .svg")
    figure = Figure(figsize=(8, 3.2 * len(summaries)), layout="constrained")
    panels = figure.subplots(len(summaries), squeeze=False)[:, 0]
    for axes, summary in zip(panels, summaries, strict=True):
        _panel(axes, summary)
    content = io.BytesIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    write_bytes_atomic(path, content.getvalue())


def _panel(axes: Axes, summary: Summary) -> None:
    course = summary.course
    _steps(axes, [(point.time, point.life) for point in course], "life", color="black")
    for study in summary.studies:
        own = [(p.time, p.study_epsilon) for p in course if p.study == study.name]
        _steps(axes, own, study.name, marker=".")
    if summary.life.cap is not None:
        axes.axhline(summary.life.cap, color="black", linestyle="--", linewidth=0.8)
    axes.set_title(f"{summary.dataset}, version {summary.version}", loc="left")
    axes.set_ylabel("epsilon")
    axes.set_ylim(bottom=0)
    axes.tick_params(axis="x", labelrotation=20)
    axes.legend(loc="upper left", frameon=False)


def _steps(axes: Axes, points: Sequence[tuple[str, float]], label: str, **style: str) -> None:
    times = [np.datetime64(datetime.fromisoformat(time).replace(tzinfo=None)) for time, _ in points]
    values = [epsilon for _, epsilon in points]
    axes.step(times, values, where="post", label=label, **style)  # type: ignore[arg-type]
