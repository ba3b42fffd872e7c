"""The coordinator's way to the sites: one port outward, one socket inward, Flower's state between.

Runs in the event loop of the coordinator's process. Flower's state begins empty each time:
conductors go on from their checkpoints, and sites answer from their outboxes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import uvicorn

from fedvox.common.errors import FedvoxError, ResourceError
from fedvox.common.identity.secret_files import make_private_folder
from fedvox.common.memory import give_large_blocks_back
from fedvox.server.consortium.registry import Registry
from fedvox.server.gate.counter import Counter, Presence
from fedvox.server.gate.inner import Inner
from fedvox.server.gate.limits import Limits
from fedvox.server.gate.listener import Listener
from fedvox.server.gate.members import Members
from fedvox.server.gate.outer import App, Outer
from fedvox.server.gate.peers import Peers, abort
from fedvox.server.gate.recording import Incidents, Recorder
from fedvox.server.gate.superlink import SuperLink
from fedvox.server.gate.ticket import RunTicket

log = logging.getLogger(__name__)
_LOOK_S = 1.0
_TIDY_S = 10.0
_MOST_SOCKET_BYTES = 100
"""A Unix socket's path may have 107 bytes."""


@dataclass(frozen=True)
class GateSettings:
    """Where a gate listens and works."""

    folder: Path
    """For what is on its way and the inner socket; only the gate's user may look into it."""
    host: str = "0.0.0.0"
    port: int = 8443
    """0: a free one."""
    limits: Limits = field(default_factory=Limits)


class Gate:
    """Opens with `async with gate.open():`, and then serves until the block is left."""

    def __init__(
        self,
        settings: GateSettings,
        context: ssl.SSLContext,
        registry: Registry,
        enrolment: App,
        record: Recorder,
    ) -> None:
        """`context` asks for certificates (CERT_OPTIONAL); `record` writes to the audit log."""
        make_private_folder(settings.folder)
        self._settings = settings
        self._incidents = Incidents(record)
        self._members = Members(registry)
        self._objects = settings.folder / "objects"
        superlink = SuperLink(self._objects)
        self._counter = Counter(superlink, self._members, self._incidents, record)
        self._peers = Peers(settings.limits)
        outer = Outer(self._counter, enrolment, settings.limits)
        self._listener = Listener(outer, context, self._peers, self._incidents, settings.limits)
        self._inner = _InnerServer(Inner(self._counter, settings.limits))
        self._runtime = ""
        self.port = 0
        """The outward port, once the gate is open."""

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Listens, outward and inward, and looks after what changes; then lets go of everything."""
        give_large_blocks_back()
        self._counter.look_at_members()
        with _bound(self._settings) as outward, self._socket_place() as place:
            self.port = outward.getsockname()[1]
            self._runtime = str(place)
            with _bound_inner(place) as inward:
                serving = asyncio.create_task(self._inner.serve([inward]))
                caring = asyncio.create_task(self._care())
                try:
                    await self._listener.open([outward])
                    await self._inner.is_open()
                    yield self
                finally:
                    caring.cancel()
                    await self._listener.close()
                    self._inner.should_exit = True
                    await asyncio.gather(serving, caring, return_exceptions=True)
                    self._counter.close()

    def open_run(self, study: str) -> RunTicket:
        """A run for a study: what its conductor works with until `close_run`."""
        run, task, token = self._counter.superlink.open_run()
        objects = str(self._objects.resolve())
        return RunTicket(run, task, token, self._runtime, objects, study)

    def close_run(self, run_id: int) -> None:
        """Ends a run: sites are given nothing of it any more, and what they send is dropped."""
        self._counter.end_run(run_id)

    def nodes(self) -> Mapping[str, Presence]:
        """Every active site, and whether it is there."""
        return self._counter.presence()

    @property
    def connections(self) -> int:
        """How many connections there are, for the metrics."""
        return self._peers.count

    @property
    def object_bytes(self) -> int:
        """How much is on its way and lies in files, for the metrics."""
        return self._counter.superlink.object_bytes

    async def _care(self) -> None:
        ticks = 0
        while True:
            await asyncio.sleep(_LOOK_S)
            ticks += 1
            try:
                self._look()
                if ticks % round(_TIDY_S / _LOOK_S) == 0:
                    self._counter.tidy()
                    self._incidents.forget()
            except FedvoxError as error:
                log.error("the registry cannot be read, nobody new is let in: %s", error)
            except Exception:
                log.exception("looking after the gate failed; it is tried again")

    def _look(self) -> None:
        """Lets go of those who are no members any more, and notes who is away."""
        if self._counter.look_at_members():
            for peer in self._peers.identified():
                why = self._members.why_not(peer.identity)
                if peer.site and why:
                    self._incidents.refused(peer.address, why, peer.site)
                    abort(peer)
        self._counter.notice_absent(self._peers.connected())

    @contextlib.contextmanager
    def _socket_place(self) -> Iterator[Path]:
        """Where the inner socket lies: in the gate's folder, or where its path is short enough."""
        place = self._settings.folder / "runtime.sock"
        if len(os.fsencode(place)) <= _MOST_SOCKET_BYTES:
            yield place
            return
        with tempfile.TemporaryDirectory(prefix="fedvox-") as folder:
            yield Path(folder) / "runtime.sock"


class _InnerServer(uvicorn.Server):
    """uvicorn on the inner socket; signals are the coordinator's own business."""

    def __init__(self, app: Inner) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                ws="none",
                lifespan="off",
                interface="asgi3",
                proxy_headers=False,
                server_header=False,
                access_log=False,
                log_config=None,
                timeout_graceful_shutdown=2,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None are captured."""
        yield

    async def is_open(self) -> None:
        """Waits until it listens."""
        while not self.started:
            await asyncio.sleep(0.01)


@contextlib.contextmanager
def _bound(settings: GateSettings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Without the protocol's number asyncio lets the system hold small packets back for 40 ms.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as outward:
        outward.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            outward.bind((settings.host, settings.port))
        except OSError as error:
            raise ResourceError(
                f"{settings.host}:{settings.port}: cannot be listened on: {error.strerror}; is a "
                "coordinator running already? Otherwise choose another --port"
            ) from error
        outward.setblocking(False)
        yield outward


@contextlib.contextmanager
def _bound_inner(place: Path) -> Iterator[socket.socket]:
    place.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as inward:
        inward.bind(str(place))
        place.chmod(0o600)
        inward.setblocking(False)
        try:
            yield inward
        finally:
            place.unlink(missing_ok=True)
