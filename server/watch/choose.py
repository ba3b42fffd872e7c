"""Which console listens to a run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TextIO, get_args

from fedvox.common.errors import InputError, nearest
from fedvox.server.events import Event, Watch

Mode = Literal["auto", "live", "plain", "json", "quiet"]
MODES: tuple[str, ...] = get_args(Mode)


@contextmanager
def watch_for(mode: str = "auto", stream: TextIO | None = None) -> Iterator[Watch]:
    """The console of this mode, writing to `stream` (standard output without one).

    auto: live on a terminal, plain elsewhere.
    """
    stream = stream or sys.stdout
    if mode not in MODES:
        raise InputError(f"console {mode!r} is not known; {nearest(mode, MODES)}")
    if mode == "auto":
        mode = "live" if stream.isatty() else "plain"
    if mode == "live":
        from fedvox.server.watch.live import live

        with live(stream) as watch:
            yield watch
    elif mode == "plain":
        from fedvox.server.watch.plain import plain

        yield plain(stream)
    elif mode == "json":
        from fedvox.server.watch.lines import lines

        yield lines(stream)
    else:
        yield quiet


def quiet(event: Event) -> None:
    """Says nothing: errors are told by the command itself."""


def many(*watches: Watch) -> Watch:
    """One watch that passes every event on to all of these, in this order."""

    def watch(event: Event) -> None:
        for each in watches:
            each(event)

    return watch
