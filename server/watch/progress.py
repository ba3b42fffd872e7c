"""Where a run stands, folded from its events: what the consoles show."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from fedvox.server.events import Event

State = Literal["waiting", "training", "done", "refused"]


@dataclass
class SiteProgress:
    """One site in the round that is under way."""

    state: State = "waiting"
    reason: str = ""
    patients: int = 0
    loss: float = math.nan
    metric: float = math.nan


@dataclass
class Progress:
    """A run as far as its events tell. Not safe for threads: its owner holds a lock."""

    clock: Callable[[], float] = time.monotonic
    title: str = ""
    headline: str = ""
    round: int = 0
    rounds: int = 0
    closed: int = 0
    loss: float = math.nan
    metric: float = math.nan
    sites: dict[str, SiteProgress] = field(default_factory=dict)
    preparing: str = ""
    prepared: tuple[int, int] = (0, 0)
    baselines: dict[str, tuple[int, int]] = field(default_factory=dict)
    finished: bool = False
    begun_s: float = 0.0
    first_round: int = 0
    first_round_s: float = 0.0
    last_closed_s: float = 0.0

    def __post_init__(self) -> None:
        self.begun_s = self.clock()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the console was opened."""
        return self.clock() - self.begun_s

    @property
    def left_s(self) -> float:
        """Seconds left for the rounds, at the pace of those closed here; NaN if unknown."""
        here = self.closed - self.first_round
        if here < 1 or not self.rounds:
            return math.nan
        pace_s = (self.last_closed_s - self.first_round_s) / here
        spent_s = self.clock() - self.last_closed_s
        return max(pace_s * (self.rounds - self.closed) - spent_s, 0.0)

    def add(self, event: Event) -> None:
        """Takes in one event."""
        fold = getattr(self, f"_{event.kind}", None)
        if fold is not None:
            fold(event)

    def count(self, state: State) -> int:
        """Sites in this state."""
        return sum(site.state == state for site in self.sites.values())

    def _site(self, name: str) -> SiteProgress:
        return self.sites.setdefault(name, SiteProgress())

    def _prepare(self, event: Event) -> None:
        self.preparing = str(next(iter(event.detail.values()), "data"))
        self.prepared = _share(event)

    def _started(self, event: Event) -> None:
        detail = event.detail
        self.title = " · ".join(
            str(detail[key]) for key in ("study", "task", "strategy") if detail.get(key)
        )
        task = detail.get("task")
        self.headline = str(
            detail.get("headline") or ("dice" if task == "segmentation" else "balanced_accuracy")
        )
        self.rounds = _whole(detail.get("rounds"))
        self.round = self.closed = self.first_round = _whole(detail.get("resumed_from"))
        self.first_round_s = self.last_closed_s = self.clock()
        self.preparing = ""
        for name in detail.get("sites") or ():
            self._site(str(name))

    def _asked(self, event: Event) -> None:
        if event.round > self.round:
            self.round = event.round
            for site in self.sites.values():
                site.state, site.reason = "waiting", ""
        self._site(event.site).state = "training"

    def _trained(self, event: Event) -> None:
        site = self._site(event.site)
        site.state, site.reason = "done", ""
        site.loss = event.figures.get("loss", site.loss)
        site.patients = int(event.figures.get("examples", site.patients))

    def _refused(self, event: Event) -> None:
        site = self._site(event.site)
        site.state = "refused"
        site.reason = str(event.detail.get("code") or event.detail.get("sentence") or "")

    def _closed(self, event: Event) -> None:
        self.closed = self.round = event.round
        self.loss = event.figures.get("loss", math.nan)
        self.last_closed_s = self.clock()

    def _evaluated(self, event: Event) -> None:
        value = event.figures.get(self.headline, math.nan)
        if event.site:
            self._site(event.site).metric = value
        else:
            self.metric = value

    def _baseline(self, event: Event) -> None:
        self.baselines[event.site] = _share(event)

    def _finished(self, event: Event) -> None:
        self.finished = True


def _share(event: Event) -> tuple[int, int]:
    return int(event.figures.get("done", 0)), int(event.figures.get("total", 0))


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
