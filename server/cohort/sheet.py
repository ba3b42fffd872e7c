"""The consortium's data sheet: who has what, as text and for scripts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fedvox.common.cohort.axes import NUMBERS, WORDS
from fedvox.common.cohort.summary import Summary
from fedvox.server.cohort.pool import Pool, quantile
from fedvox.server.cohort.propose import Proposal

_HEADINGS = (
    "site",
    "patients",
    "weight",
    "modality",
    "spacing mm",
    "voxels",
    "intensity",
    "labels",
)


def sheet_lines(pool: Pool, proposal: Proposal) -> Iterator[str]:
    """A row a site, the sum of all, and what they disagree on."""
    rows: list[tuple[str, ...]] = [_HEADINGS]
    for summary, weight in zip(pool.summaries, pool.weights, strict=True):
        rows.append(_row(summary, weight))
    together = sum(summary.patients for summary in pool.summaries)
    middle = ("all", str(together), "100%", "", *(_middles(pool, p) for p in _PREFIXES), "")
    rows.append(middle)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
    noised = [summary.site for summary in pool.summaries if summary.noise]
    if noised:
        yield f"with noise on every count: {', '.join(noised)}"
    for conflict in proposal.labels.conflicts:
        yield f"to settle: {conflict}"


_PREFIXES = ("spacing_mm_", "size_", "intensity_")


def as_plain(pool: Pool, proposal: Proposal) -> dict[str, Any]:
    """The sheet for scripts."""
    return {
        "sites": [
            {
                "site": summary.site,
                "dataset": summary.dataset,
                "patients": summary.patients,
                "weight": round(weight, 4),
                "task": summary.task,
                "noise": summary.noise.model_dump() if summary.noise else None,
                "modality": dict(zip(WORDS["modality"], summary.words["modality"], strict=True))
                if "modality" in summary.words
                else {},
                "medians": {name: _median(summary, name) for name in summary.numbers},
                "labels": [label.model_dump() for label in summary.labels],
            }
            for summary, weight in zip(pool.summaries, pool.weights, strict=True)
        ],
        "patients": sum(summary.patients for summary in pool.summaries),
        "medians": {name: pool.middle(name) for name in NUMBERS},
        "proposal": proposal.settings,
        "conflicts": list(proposal.labels.conflicts),
    }


def _row(summary: Summary, weight: float) -> tuple[str, ...]:
    return (
        summary.site,
        str(summary.patients),
        f"{weight:.0%}",
        _kinds(summary),
        *(_joined(_median(summary, n) for n in NUMBERS if n.startswith(p)) for p in _PREFIXES),
        ", ".join(_label(summary)),
    )


def _label(summary: Summary) -> Iterator[str]:
    for label in summary.labels:
        name = label.name or f"value {label.value}"
        yield f"{name} {label.patients}"


def _kinds(summary: Summary) -> str:
    counts = zip(WORDS["modality"], summary.words.get("modality", ()), strict=False)
    return " ".join(word for word, count in counts if count) or "-"


def _median(summary: Summary, name: str) -> float | None:
    counts = summary.numbers.get(name, ())
    return quantile(counts, NUMBERS[name], 0.5) if sum(counts) else None


def _middles(pool: Pool, prefix: str) -> str:
    return _joined(pool.middle(name) for name in NUMBERS if name.startswith(prefix))


def _joined(values: Iterator[float | None] | Sequence[float | None]) -> str:
    return " ".join(f"{value:g}" for value in values if value is not None) or "-"
