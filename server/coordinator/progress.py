"""progress.json: how far a study has come, for whoever asks while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedvox.common.files import write_json_atomic
from fedvox.common.study import Study
from fedvox.server.asking import patience_for
from fedvox.server.events import Event
from fedvox.server.spending import spent_by_site

_KEEP_S = 0.5
"""The file is not written more often than this, but for what changes the state."""


class Progress:
    """Listens to a study's events and keeps the file."""

    def __init__(
        self,
        path: Path,
        study: Study,
        sites: Collection[str],
        lines: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """`lines` are those of the rounds that were closed before this process began."""
        spent = spent_by_site(lines)
        self._path = path
        self._written = 0.0
        names = sorted({*sites, *spent})  # who has spent may have been revoked since
        self._told: dict[str, Any] = {
            "phase": "meeting",
            "round": lines[-1]["round"] if lines else 0,
            "rounds": study.training.rounds,
            "quorum": patience_for(study.participation, len(sites)).need,
            "metrics": {},
            "model_sha256": None,
            "note": "",
            "sites": {
                name: {"state": "expected", "epsilon": spent.get(name, {}).get("epsilon", 0.0)}
                for name in names
            },
        }
        self._folds: dict[str, Callable[[Event], bool]] = {
            "started": self._started,
            "asked": lambda event: self._site(event.site, "training"),
            "trained": self._trained,
            "refused": lambda event: self._site(event.site, f"refused: {event.detail['code']}"),
            "awaited": self._awaited,
            "closed": self._closed,
            "evaluated": self._evaluated,
        }

    def __call__(self, event: Event) -> None:
        """Takes an event."""
        fold = self._folds.get(event.kind)
        if fold and fold(event):
            self._write(now=event.kind in ("started", "closed", "awaited"))

    def phase(self, phase: str, **more: Any) -> None:
        """Another part of the work, or its end."""
        self._told |= {"phase": phase, **more}
        self._write(now=True)

    def _started(self, event: Event) -> bool:
        self._told |= {"phase": "training", "round": event.detail["resumed_from"]}
        for site in event.detail["sites"]:
            self._site(site, "ready")
        return True

    def _trained(self, event: Event) -> bool:
        figures = event.figures
        spent = {"epsilon": float(figures["epsilon"])} if "epsilon" in figures else {}
        return self._site(event.site, "answered", **spent)

    def _awaited(self, event: Event) -> bool:
        awaited: Mapping[str, str] = event.detail["sites"]
        for site, code in awaited.items():
            self._site(site, code or "awaited")
        self._told["note"] = f"waits for {', '.join(sorted(awaited))}"
        return True

    def _closed(self, event: Event) -> bool:
        self._told |= {"round": event.round, "note": ""}
        return True

    def _evaluated(self, event: Event) -> bool:
        if not event.site:
            self._told["metrics"] = dict(event.figures)
        return not event.site

    def _site(self, name: str, state: str, **more: Any) -> bool:
        self._told["sites"].setdefault(name, {"epsilon": 0.0})
        self._told["sites"][name] |= {"state": state, **more}
        return True

    def _write(self, now: bool) -> None:
        if now or time.monotonic() - self._written >= _KEEP_S:
            self._written = time.monotonic()
            write_json_atomic(self._path, self._told)
