"""Who is connected: counted, and let go of when a site is revoked."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass

from fedvox.common.identity.certificates import Identity
from fedvox.common.identity.names import Role
from fedvox.server.gate.limits import Limits


@dataclass(eq=False)
class Peer:
    """One connection."""

    address: str
    transport: asyncio.BaseTransport | None = None
    identity: Identity | None = None

    @property
    def site(self) -> str:
        """The site that it is of, or an empty text."""
        named = self.identity is not None and self.identity.role is Role.SITE
        return self.identity.name if named and self.identity else ""


class Peers:
    """All connections to the outward port."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._all: set[Peer] = set()
        self._strangers: Counter[str] = Counter()
        self._sites: Counter[str] = Counter()

    def arrive(self, address: str) -> Peer | None:
        """A new connection, or None where there are too many."""
        if len(self._all) >= self._limits.connections:
            return None
        if self._strangers[address] >= self._limits.connections_of_stranger:
            return None
        peer = Peer(address)
        self._all.add(peer)
        self._strangers[address] += 1
        return peer

    def introduce(self, peer: Peer, transport: asyncio.BaseTransport, who: Identity | None) -> bool:
        """Notes who a connection is of; False where that site has too many."""
        peer.transport, peer.identity = transport, who
        if not peer.site:
            return True
        self._minus(self._strangers, peer.address)
        self._sites[peer.site] += 1
        return self._sites[peer.site] <= self._limits.connections_of_site

    def leave(self, peer: Peer) -> None:
        """A connection has ended."""
        if peer not in self._all:
            return
        self._all.discard(peer)
        if peer.site:
            self._minus(self._sites, peer.site)
        else:
            self._minus(self._strangers, peer.address)

    @property
    def count(self) -> int:
        """Number of connections."""
        return len(self._all)

    def connected(self) -> frozenset[str]:
        """Sites that have a connection."""
        return frozenset(self._sites)

    def identified(self) -> list[Peer]:
        """Connections on which a certificate was shown."""
        return [peer for peer in self._all if peer.identity is not None]

    def close_all(self) -> None:
        """Ends every connection."""
        for peer in list(self._all):
            abort(peer)

    @staticmethod
    def _minus(counter: Counter[str], key: str) -> None:
        counter[key] -= 1
        if counter[key] <= 0:
            del counter[key]


def abort(peer: Peer) -> None:
    """Ends a connection at once, whatever is on its way."""
    transport = peer.transport
    if isinstance(transport, asyncio.Transport) or hasattr(transport, "abort"):
        transport.abort()  # type: ignore[union-attr]  # open yet
