"""What happens in a run, as a stream of events: consoles, TensorBoard and records listen to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "prepare",  # figures: done, total; detail: what is being prepared
    "held",  # detail: sites: name, train, validation, test, strata (name -> patients)
    "started",  # detail: study, task, strategy, rounds, sites (names), parameters, resumed_from
    "asked",  # round, site
    "trained",  # round, site, figures: loss, seconds, examples, ...
    "refused",  # round, site, detail: code, sentence
    "closed",  # round, figures: loss (mean over sites), seconds, bytes_up, bytes_down, update_norm
    "evaluated",  # round, site ("" = all sites together), figures: metrics; detail: split
    "baseline",  # site: "pooled" or a site's name; figures: done, total (steps)
    "awaited",  # round; detail: sites (name -> code, or "" where nothing is known)
    "note",  # detail: text
    "finished",  # detail: the summary
]


@dataclass(frozen=True)
class Event:
    """One thing that happened."""

    kind: Kind
    round: int = 0
    site: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)


Watch = Callable[[Event], None]
