"""The outward port: TLS first, then HTTP, and on each request whose certificate it came by.

A connection is counted before its handshake, and a handshake that fails is recorded; asyncio's own
servers can do neither.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from asyncio.events import TimerHandle
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from fedvox.common.errors import IdentityError
from fedvox.common.identity.certificates import identity_of
from fedvox.server.gate.limits import Limits
from fedvox.server.gate.peers import Peer, Peers, abort
from fedvox.server.gate.recording import Incidents

IDENTITY, PEER = "fedvox.identity", "fedvox.peer"
"""Under which an app finds in its scope who asks: an Identity or None, and a Peer."""


class Listener:
    """Accepts connections for an app until it is closed."""

    def __init__(
        self, app: Any, context: ssl.SSLContext, peers: Peers, incidents: Incidents, limits: Limits
    ) -> None:
        self.context = context
        self.peers = peers
        self.incidents = incidents
        self.limits = limits
        self.state = ServerState()
        self.config = uvicorn.Config(
            app,
            http=HttpToolsProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            proxy_headers=False,
            server_header=False,
            date_header=True,
            access_log=False,
            log_config=None,
            timeout_keep_alive=int(limits.idle_s),
        )
        self.config.load()
        self.greetings: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []

    async def open(self, sockets: list[socket.socket]) -> None:
        """Begins to accept."""
        loop = asyncio.get_running_loop()
        for bound in sockets:
            server = await loop.create_server(lambda: _Arrival(self), sock=bound, backlog=256)
            self._servers.append(server)

    async def close(self, grace_s: float = 2.0) -> None:
        """Accepts no more, lets what is being answered end, then ends the rest."""
        for server in self._servers:
            server.close()
        for task in list(self.greetings):
            task.cancel()
        for connection in list(self.state.connections):
            cast(HttpToolsProtocol, connection).shutdown()
        if self.state.tasks:
            await asyncio.wait(list(self.state.tasks), timeout=grace_s)
        for task in list(self.state.tasks):
            task.cancel()
        self.peers.close_all()


class _Arrival(asyncio.Protocol):
    """A connection until its handshake is over; keeps what comes with the handshake's end."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._early: list[bytes] = []
        self._ended = False
        self._greeted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._greeted:
            return
        self._greeted = True
        address = str((transport.get_extra_info("peername") or ("unknown",))[0])
        peer = self._listener.peers.arrive(address)
        if peer is None:
            self._listener.incidents.refused(address, "too-many-connections")
            cast(asyncio.Transport, transport).abort()
            return
        greeting = self._greet(cast(asyncio.Transport, transport), peer)
        task = asyncio.get_running_loop().create_task(greeting)
        self._listener.greetings.add(task)
        task.add_done_callback(self._listener.greetings.discard)

    def data_received(self, data: bytes) -> None:
        self._early.append(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._ended = True

    async def _greet(self, transport: asyncio.Transport, peer: Peer) -> None:
        listener = self._listener
        try:
            secure = await asyncio.get_running_loop().start_tls(
                transport,
                self,
                listener.context,
                server_side=True,
                ssl_handshake_timeout=listener.limits.handshake_s,
                ssl_shutdown_timeout=2.0,
            )
        except (OSError, asyncio.CancelledError) as error:
            listener.peers.leave(peer)
            transport.abort()
            if isinstance(error, asyncio.CancelledError):
                raise
            listener.incidents.refused(peer.address, _reason(error))
            return
        if secure is None or self._ended:
            listener.peers.leave(peer)
            return
        protocol = _Conversation(listener, peer)
        secure.set_protocol(protocol)
        protocol.connection_made(secure)
        for data in self._early:
            if not secure.is_closing():
                protocol.data_received(data)


def _reason(error: OSError) -> str:
    """Why a handshake failed, in OpenSSL's words, which hold nothing of what was sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"tls: {error.reason or 'handshake'}"
    return "tls: handshake not finished"


class _Conversation(HttpToolsProtocol):
    """HTTP on a connection whose owner is known, with bounds on time and size of a head."""

    def __init__(self, listener: Listener, peer: Peer) -> None:
        super().__init__(listener.config, listener.state, {})
        self._listener = listener
        self._peer = peer
        self._head_bytes = 0
        self._heads = 0
        """Seen to their end."""
        self._in_head = True
        self._head_timer: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._identify(transport):
            self._await_head()
        else:
            abort(self._peer)

    def _identify(self, transport: asyncio.Transport) -> bool:
        peers, incidents = self._listener.peers, self._listener.incidents
        shown = transport.get_extra_info("ssl_object").getpeercert(True)
        try:
            identity = identity_of(shown) if shown else None
        except IdentityError:
            peers.introduce(self._peer, transport, None)
            incidents.refused(self._peer.address, "certificate: of no member's kind")
            return False
        if peers.introduce(self._peer, transport, identity):
            return True
        incidents.refused(self._peer.address, "too-many-connections", self._peer.site)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_there()
        self._listener.peers.leave(self._peer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head and self._head_timer is None:
            self._await_head()
        before, heads = self._in_head, self._heads
        super().data_received(data)
        # A request that came whole, in one piece, ended its head on the way.
        if before and self._in_head and self._heads == heads:
            self._head_bytes += len(data)
            if self._head_bytes > self._listener.limits.head_bytes:
                self._listener.incidents.refused(
                    self._peer.address, "head-too-large", self._peer.site
                )
                abort(self._peer)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        scope = cast(dict[str, Any], self.scope)
        scope[IDENTITY], scope[PEER] = self._peer.identity, self._peer

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        self._heads += 1
        self._head_is_there()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head = True

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self._listener.limits.head_s, self._too_slow)

    def _head_is_there(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._listener.incidents.refused(self._peer.address, "head-too-slow", self._peer.site)
        abort(self._peer)
