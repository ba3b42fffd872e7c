"""A ledger in the terminal: read by people in a minute."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from fedvox.client.ledger.entry import Kind
from fedvox.client.ledger.summary import Point, Spent, Summary

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_BLOCKS = " ▁▂▃▄▅▆▇█"
_WIDTH, _HEIGHT = 60, 8


def show(summary: Summary, console: Console | None = None) -> None:
    """Prints everything a ledger comes to."""
    from rich.console import Console
    from rich.markup import escape
    from rich.padding import Padding

    console = console or Console(highlight=False)
    show_verdict(summary, console)
    if not summary.trusted_rows:
        return
    if summary.findings:
        console.print(f"  what follows is of the first {summary.trusted_rows} rows only")
    console.print(f"  whole life: {_spent(summary.life)}")
    if summary.kin:
        names = escape(", ".join(summary.kin))
        console.print(f"  counted with {names}: some of the same patients are in it")
    if summary.uncharged:
        names = escape(", ".join(summary.uncharged))
        text = "what these sent, if anything, had no noise and is not counted"
        console.print(f"  given to studies that were never charged: {names}; {text}")
    for title, table in (
        ("Studies", _studies(summary)),
        ("Refusals", _refusals(summary)),
        ("Last entries", _last(summary)),
    ):
        if table.row_count:
            console.print(f"\n  {title}")
            console.print(Padding(table, (0, 0, 0, 2)))
    if any(study.inherited for study in summary.studies):
        console.print("\n  * with what it spent under earlier versions of the data")
    for line in chart(summary.course, summary.life.cap):
        console.print(escape(f"  {line}"))
    console.print()


def show_verdict(summary: Summary, console: Console | None = None) -> None:
    """Prints whether every row of a ledger is as it was written, or which is not."""
    from rich.console import Console
    from rich.markup import escape

    console = console or Console(highlight=False)
    after = f", after {summary.predecessor}" if summary.predecessor else ""
    closed = ", closed: a later version goes on from it" if summary.closed else ""
    console.print(
        escape(f"{summary.dataset}, version {summary.version}{after}{closed}"), soft_wrap=True
    )
    for finding in summary.findings:
        console.print(escape(f"  {finding['fault'].upper()}: {finding['text']}"), soft_wrap=True)
    if not summary.findings:
        rows = "1 row" if summary.rows == 1 else f"{summary.rows} rows"
        console.print(f"  whole: {rows}, the last with hash {summary.head}", soft_wrap=True)


def _spent(spent: Spent) -> str:
    at = f" at delta {spent.delta:g}" if spent.delta else ""
    if spent.cap is None:
        return f"epsilon {_figure(spent.epsilon)} spent{at}"
    of = f"epsilon {_figure(spent.epsilon)} of {spent.cap:g} spent{at}"
    return f"{of}, {_figure(spent.left)} left"


def _studies(summary: Summary) -> Table:
    columns = ("study", "rounds", "steps", "charged", "sent", "refused", "epsilon", "delta", "cap",
               "left")  # fmt: skip
    rows = (
        (
            f"{study.name} *" if study.inherited else study.name,
            str(study.rounds),
            str(study.steps),
            str(study.charged),
            str(study.released),
            str(study.refused),
            _figure(study.spent.epsilon),
            f"{study.spent.delta:g}",
            "-" if study.spent.cap is None else f"{study.spent.cap:g}",
            _figure(study.spent.left),
        )
        for study in summary.studies
    )
    return _table(columns, rows, left=("study",))


def _refusals(summary: Summary) -> Table:
    rows = (
        (item.study, item.code, str(item.times), _minute(item.last), item.reason)
        for item in summary.refusals
    )
    return _table(("study", "refusal", "times", "last", "why"), rows, ("study", "refusal", "why"))


def _last(summary: Summary) -> Table:
    rows = (
        (
            str(row["sequence"]),
            _minute(row["time"]),
            _what(row),
            row["study"],
            str(row["round"]) if row["study"] else "",
            f"{_figure(row['study_before'])} > {_figure(row['study_after'])}"
            if row["study"]
            else "",
            _figure(row["life_after"]),
        )
        for row in summary.last
    )
    columns = ("row", "UTC", "what", "study", "round", "its epsilon", "life")
    return _table(columns, rows, left=("UTC", "what", "study"))


def _what(row: Mapping[str, Any]) -> str:
    if row["kind"] == Kind.REFUSED:
        return f"refused: {row['decision']}"
    return str(row["decision"] or row["kind"])


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[str]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="underline")
    for name in columns:
        justify: Literal["left", "right"] = "left" if name in left else "right"
        whole = name not in ("study", "why")
        narrowest = 8 if name == "study" else None
        table.add_column(name, justify=justify, overflow="fold", no_wrap=whole, min_width=narrowest)
    for row in rows:
        table.add_row(*(Text(value) for value in row))
    return table


def chart(course: Sequence[Point], cap: float | None) -> list[str]:
    """Epsilon of the data's whole life over time as lines of text; none where nothing was spent."""
    if not course or course[-1].life <= 0:
        return []
    spent = course[-1].life
    top = cap if cap is not None and cap <= 4 * spent else spent
    levels = [round(value / top * _HEIGHT * 8) for value in _columns(course)]
    lines = ["", "epsilon of the whole life" + (f", cap {cap:g}" if cap is not None else "")]
    for row in range(_HEIGHT - 1, -1, -1):
        bars = "".join(_BLOCKS[min(max(level - 8 * row, 0), 8)] for level in levels)
        label = _figure(top * (row + 1) / _HEIGHT) if row % 2 else ""
        lines.append(f"{label:>8} │{bars}")
    ends = _minute(course[0].time), _minute(course[-1].time)
    return [*lines, f"{'0':>8} └{'─' * _WIDTH}", f"{'':9} {ends[0]}{ends[1]:>{_WIDTH - 16}}"]


def _columns(course: Sequence[Point]) -> list[float]:
    """The value at each of the chart's columns: of the last charge up to then."""
    times = [datetime.fromisoformat(point.time).timestamp() for point in course]
    if times[-1] <= times[0]:
        times = [float(number) for number in range(len(course))]
    span = (times[-1] - times[0]) or 1.0
    values, number = [], 0
    for column in range(_WIDTH):
        until = times[0] + span * (column + 1) / _WIDTH
        while number + 1 < len(course) and times[number + 1] <= until:
            number += 1
        values.append(course[number].life)
    values[-1] = course[-1].life  # rounding must not hide the last charge
    return values


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value < 100 else f"{value:.4g}"
