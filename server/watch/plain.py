"""One line a round, for logs and pipes."""

from __future__ import annotations

import math
import threading
from typing import TextIO

from fedvox.server.events import Event, Watch
from fedvox.server.report.wording import duration, many, metric_name, score
from fedvox.server.watch.holdings import holding_lines
from fedvox.server.watch.outcome import outcome_lines
from fedvox.server.watch.progress import Progress


def plain(stream: TextIO, progress: Progress | None = None) -> Watch:
    """A watch that writes lines to `stream`."""
    known = progress or Progress()
    lock = threading.Lock()

    def watch(event: Event) -> None:
        with lock:
            known.add(event)
            for line in _lines(event, known):
                stream.write(line + "\n")
            stream.flush()

    return watch


def _lines(event: Event, known: Progress) -> list[str]:
    if event.kind == "prepare":
        return _prepared(known)
    if event.kind == "held":
        return holding_lines(event.detail)
    if event.kind == "started":
        return [_started(event, known)]
    if event.kind == "refused":
        return [f"round {event.round}: {event.site} sent no update: {_reason(event)}"]
    if event.kind == "closed":
        return [_closed(event, known)]
    if event.kind == "evaluated" and not event.site:
        split = event.detail.get("split", "validation")
        name, value = metric_name(known.headline), score(known.metric)
        return [f"round {event.round}: {name} {value} on {split} patients of all sites"]
    if event.kind == "baseline":
        done, total = known.baselines[event.site]
        return [f"baseline {event.site}: {many(total, 'step')}"] if total and done >= total else []
    if event.kind == "note":
        return [f"note: {event.detail.get('text', '')}"]
    return outcome_lines(event.detail) if event.kind == "finished" else []


def _prepared(known: Progress) -> list[str]:
    """Only when it is done: a line a case would drown the rounds."""
    done, total = known.prepared
    return [f"prepared {known.preparing}: {total}"] if total and done >= total else []


def _started(event: Event, known: Progress) -> str:
    again = f", going on after round {known.first_round}" if known.first_round else ""
    return f"{known.title}: {many(len(known.sites), 'site')}, {many(known.rounds, 'round')}{again}"


def _closed(event: Event, known: Progress) -> str:
    width = len(str(known.rounds))
    parts = [
        f"round {event.round:>{width}}/{known.rounds}",
        f"{known.count('done')} of {many(len(known.sites), 'site')}",
        f"loss {score(known.loss)}",
        duration(event.figures.get("seconds", math.nan)),
    ]
    if math.isfinite(known.left_s) and known.closed < known.rounds:
        parts.append(f"{duration(known.left_s)} left")
    return "  ".join(parts)


def _reason(event: Event) -> str:
    return str(event.detail.get("sentence") or event.detail.get("code") or "no reason given")
