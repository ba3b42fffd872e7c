"""What the gate tells the audit log: who came, who went, who was refused and why."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

Recorder = Callable[[str, Mapping[str, object]], None]
"""Takes what happened and its fields."""

log = logging.getLogger(__name__)
_QUIET_S = 60.0
_MOST_KINDS = 256
"""Of refusals that are told apart; more are counted together."""


class Incidents:
    """Records refusals: the first of a kind at once, its repetitions once a minute by number.

    So nobody can fill the log by knocking.
    """

    def __init__(self, record: Recorder, clock: Callable[[], float] = time.monotonic) -> None:
        self._record = record
        self._clock = clock
        self._seen: dict[tuple[str, str, str], tuple[float, int]] = {}

    def refused(self, peer: str, reason: str, site: str = "") -> None:
        """Somebody at `peer` was refused."""
        key = (site or peer, reason, site)
        if key not in self._seen and len(self._seen) >= _MOST_KINDS:
            key = ("", "many", "")
        now = self._clock()
        since, repeated = self._seen.get(key, (-_QUIET_S, 0))
        if now - since < _QUIET_S:
            self._seen[key] = (since, repeated + 1)
            return
        self._seen[key] = (now, 0)
        self._write(peer, reason, site, repeated)

    def _write(self, peer: str, reason: str, site: str, repeated: int) -> None:
        fields: dict[str, object] = {"peer": peer, "reason": reason}
        if site:
            fields["site"] = site
        if repeated:
            fields["repeated"] = repeated
        log.warning("refused %s %s: %s", site, peer, reason)
        self._record("refused", fields)

    def forget(self) -> None:
        """Writes how often what has become quiet was repeated, and forgets it."""
        now = self._clock()
        for key, (since, repeated) in list(self._seen.items()):
            if now - since < _QUIET_S:
                continue
            del self._seen[key]
            if repeated:
                self._write(key[0], key[1], key[2], repeated)
