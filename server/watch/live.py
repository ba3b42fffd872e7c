"""A live table on a terminal.

Events only change a few fields under a lock. One thread draws, and waits after each drawing for
two hundred times as long as it took: the console never costs more than half a percent of a core.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from fedvox.server.events import Event, Watch
from fedvox.server.watch.holdings import holding_lines
from fedvox.server.watch.progress import Progress
from fedvox.server.watch.screen import outcome_table, screen

_FASTEST_S = 0.125
_SLOWEST_S = 5.0
_IDLE_S = 1.0
"""The clock on the screen moves at least so often, events or not."""
_SHARE = 200


@contextmanager
def live(stream: TextIO | None = None, console: Console | None = None) -> Iterator[Watch]:
    """A watch that keeps a table on the terminal up to date until the context is left."""
    console = console or Console(file=stream)
    with Screen(console) as shown:
        yield shown.watch


class Screen:
    """The table on the terminal, and the thread that draws it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress()
        self.lock = threading.Lock()
        self.changed = threading.Event()
        self.stopped = threading.Event()
        self.live = Live(
            console=console, auto_refresh=False, transient=True, get_renderable=self._picture
        )
        self.thread = threading.Thread(target=self._draw, name="fedvox-console", daemon=True)
        self.summary: Event | None = None

    def __enter__(self) -> Screen:
        self.live.start()
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.changed.set()
        self.thread.join()
        self.live.stop()
        if self.summary is not None:
            self.console.print(outcome_table(self.summary.detail))
        elif self.progress.rounds:
            with self.lock:
                self.console.print(screen(self.progress, self.console.size))

    def watch(self, event: Event) -> None:
        """Takes in one event; drawing is left to the thread."""
        with self.lock:
            self.progress.add(event)
        if event.kind == "note":
            self.console.print(Text(str(event.detail.get("text", "")), style="dim"))
        if event.kind == "held":
            self.console.print(Text("\n".join(holding_lines(event.detail))))
        if event.kind == "finished":
            self.summary = event
        self.changed.set()

    def _picture(self) -> RenderableType:
        with self.lock:
            return screen(self.progress, self.console.size)

    def _draw(self) -> None:
        while not self.stopped.is_set():
            begun_s = time.perf_counter()
            self.changed.clear()
            self.live.refresh()
            cost_s = time.perf_counter() - begun_s
            self.stopped.wait(min(max(_FASTEST_S, _SHARE * cost_s), _SLOWEST_S))
            self.changed.wait(_IDLE_S)
