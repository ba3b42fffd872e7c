"""How it stands with the link, as it tells the trainer, for people at the site.

HOME/run/link.json
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fedvox.client.policy.progress import timestamp, write_passing

if TYPE_CHECKING:
    from fedvox.client.contract.heads import LinkSaid

SILENT_S = 90.0
"""A link that has said nothing for so long does not run; it speaks several times a minute."""


@dataclass(frozen=True)
class LinkNow:
    """What the link said last, and when."""

    connected: bool = False
    problem: str = ""
    certificate_until: str = ""
    since: str = ""
    """Since when it is connected, or is not."""
    heard: str = ""

    @property
    def is_running(self) -> bool:
        """Whether it has said something lately."""
        try:
            silent = datetime.now(UTC) - datetime.fromisoformat(self.heard)
        except (ValueError, TypeError):
            return False
        return silent.total_seconds() < SILENT_S

    @property
    def trouble(self) -> str:
        """What does not work, in words; empty when it does."""
        if not self.is_running:
            return "the link does not run"
        if self.connected:
            return ""
        return f"the link is not connected to the coordinator: {self.problem or 'no answer yet'}"


def link_of(home: Path) -> LinkNow:
    """What the link said last; one that never ran where it said nothing that can be read."""
    with suppress(OSError, ValueError, TypeError):
        return LinkNow(**json.loads(_path(home).read_text()))
    return LinkNow()


def write_link(home: Path, said: LinkSaid) -> None:
    """Notes what the link says; not kept past a power loss, which ends the link as well."""
    before, now = link_of(home), timestamp()
    same = before.is_running and before.connected == said.connected
    since, until = before.since if same else now, said.certificate_until or before.certificate_until
    write_passing(_path(home), asdict(LinkNow(said.connected, said.problem, until, since, now)))


def _path(home: Path) -> Path:
    return home / "run" / "link.json"
