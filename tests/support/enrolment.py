"""A consortium for tests, and its enrolment desk behind real TLS on a loopback port."""

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from fedvox.common.identity.addresses import Address
from fedvox.common.identity.certificates import identity_of
from fedvox.common.identity.tls import server_context
from fedvox.server.consortium.authority import Authority
from fedvox.server.consortium.enrolment import enrolment_app
from fedvox.server.consortium.founding import found
from fedvox.server.consortium.settings import settings_for

Said = tuple[str, Mapping[str, Any]]


@dataclass
class Consortium:
    """A consortium that nobody has joined yet."""

    home: Path
    said: list[Said] = field(default_factory=list)
    """What was recorded."""

    def record(self, kind: str, fields: Mapping[str, Any]) -> None:
        self.said.append((kind, fields))

    @property
    def authority(self) -> Authority:
        return Authority.open(self.home, self.record, "a test")

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.said]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def consortium(home: Path, *ports: int, name: str = "trial") -> Consortium:
    """A new consortium, which says that it is reached at these ports of 127.0.0.1."""
    found(home, settings_for(name, tuple(Address("127.0.0.1", port) for port in ports)))
    return Consortium(home)


class _WithIdentity(H11Protocol):
    """Tells the application who is connected."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        shown = transport.get_extra_info("ssl_object").getpeercert(True)
        identity, inner = identity_of(shown) if shown else None, self.app

        async def told(scope: Any, receive: Any, send: Any) -> None:
            scope["fedvox.identity"] = identity
            await inner(scope, receive, send)

        self.app = told


@contextlib.contextmanager
def serving(of: Consortium, port: int, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """The consortium's enrolment desk at a port, until the block is left."""
    app = enrolment_app(of.home, of.record)
    config = uvicorn.Config(app, http=_WithIdentity, log_config=None, lifespan="off", ws="none")
    config.load()
    config.ssl = context or server_context(of.authority.credentials())
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", port)) as listener:
        thread = threading.Thread(target=asyncio.run, args=(server.serve([listener]),))
        thread.start()
        try:
            until = time.monotonic() + 20
            while not server.started and time.monotonic() < until:
                time.sleep(0.01)
            yield int(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(20)
