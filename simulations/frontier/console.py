"""What is said while a frontier is trained: a line a run, and the round it is in on a terminal."""

from __future__ import annotations

from typing import TextIO

from fedvox.server.events import Event
from fedvox.server.report.wording import duration, metric_name, score
from fedvox.simulations.frontier.figures import Outcome
from fedvox.simulations.frontier.points import Point, epsilon_name


class Console:
    """Writes to a stream; says nothing without one."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._passing = stream is not None and stream.isatty()
        self._head = ""
        self._rounds = 0

    def begins(self, point: Point, place: int, of: int) -> None:
        """A run is about to be trained."""
        self._head = f"{place:>{len(str(of))}}/{of}  {_named(point)}"
        self._rounds = 0
        self._pass("preparing")

    def watch(self, event: Event) -> None:
        """An event of the run that is trained."""
        if event.kind == "started":
            self._rounds = int(event.detail.get("rounds", 0))
        elif event.kind == "closed":
            self._pass(f"round {event.round}/{self._rounds}")

    def ends(self, outcome: Outcome, known: bool) -> None:
        """A run is over, or was before it began."""
        result = f"{metric_name(outcome.headline)} {score(outcome.value)}"
        told = result if outcome.status == "done" else f"{outcome.status}: no result"
        after = "done before" if known else duration(outcome.wall_s)
        self._write(f"{self._head}  {told}  {after}\n")

    def _pass(self, text: str) -> None:
        if self._passing:
            self._write(f"{self._head}  {text}")

    def _write(self, text: str) -> None:
        if self._stream is not None:
            clear = "\r\x1b[K" if self._passing else ""
            self._stream.write(f"{clear}{text}")
            self._stream.flush()


def _named(point: Point) -> str:
    epsilon = f"epsilon {epsilon_name(point.epsilon)}" if point.private else "without privacy"
    return f"{epsilon}, seed {point.seed}"
