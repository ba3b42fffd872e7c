"""Which sites are there, and whether one has started anew since it was asked."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from flwr.serverapp import Grid

_LOOK_S = 1.0
"""A grid over a network is not asked more often than this who is there."""


@dataclass(frozen=True)
class Seat:
    """Where a site is to be reached."""

    node: int
    since: str = ""
    """When it came. Another value: it has started anew, and what it was asked is lost."""


class Presence(Protocol):
    """Tells who is there."""

    def seats(self) -> Mapping[str, Seat]:
        """The sites that are there now, by name."""


@dataclass(frozen=True)
class Fixed:
    """Sites that never leave: those of a simulation."""

    nodes: Mapping[str, int]

    def seats(self) -> Mapping[str, Seat]:
        """All of them, always."""
        return {site: Seat(node) for site, node in self.nodes.items()}


class Online:
    """Sites of a consortium, under the names that the coordinator gave their nodes."""

    def __init__(self, grid: Grid, sites: Collection[str]) -> None:
        self._grid = grid
        self._sites = frozenset(sites)
        self._seen: dict[str, Seat] = {}
        self._looked = -_LOOK_S

    def seats(self) -> Mapping[str, Seat]:
        """Those whose link is connected."""
        if time.monotonic() - self._looked >= _LOOK_S:
            self._looked = time.monotonic()
            nodes = [node for node in self._grid.get_nodes() if node.name in self._sites]
            self._seen = {node.name: Seat(node.node_id, node.last_activated_at) for node in nodes}
        return self._seen
