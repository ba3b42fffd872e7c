"""The coordinator's process: the gate to the sites, the operators' socket, and who conducts."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from fedvox.common.audit.trail import IDENTITY, trail
from fedvox.common.errors import FedvoxError, InputError, ResourceError
from fedvox.common.files import RunLock
from fedvox.common.identity.credentials import Credentials
from fedvox.common.identity.secret_files import make_private_folder
from fedvox.common.identity.tls import present, server_context
from fedvox.common.supervised import die_with_parent, say_ready
from fedvox.common.unix_paths import reachable
from fedvox.server.consortium.authority import renew_coordinator_if_due
from fedvox.server.consortium.enrolment import enrolment_app
from fedvox.server.consortium.recording import authority_at
from fedvox.server.consortium.registry import Registry, SiteState
from fedvox.server.consortium.settings import CoordinatorSettings
from fedvox.server.coordinator.api import OperatorApi
from fedvox.server.coordinator.asking_api import SOCKET
from fedvox.server.coordinator.observe import Observed
from fedvox.server.coordinator.operators import Doorman
from fedvox.server.coordinator.outward import outward_troubles
from fedvox.server.coordinator.scheduler import Scheduler
from fedvox.server.coordinator.status import Nodes
from fedvox.server.coordinator.studies import Studies
from fedvox.server.gate.gate import Gate, GateSettings

log = logging.getLogger(__name__)
_LOOK_S = 1.0
_RENEW_S, _RENEW_AGAIN_S = 6 * 3600.0, 300.0


def main(argv: Sequence[str]) -> int:
    """Runs until SIGTERM; the exit status."""
    parser = argparse.ArgumentParser(prog="fedvox.server.coordinator")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--monitor-port", type=int, default=0)
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--operator-socket", type=Path)
    args = parser.parse_args(argv)
    die_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for chatty in ("alembic", "uvicorn", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    make_private_folder(args.home / "run")
    with RunLock(args.home / "run"):
        coordinator = _Coordinator(args.home, args.port, args.at_once)
        asyncio.run(coordinator.run(args.monitor_port, args.operator_socket))
    return 0


class _Coordinator:
    """All that runs in this process."""

    def __init__(self, home: Path, port: int, at_once: int) -> None:
        self._home = home
        self._settings = CoordinatorSettings.load(home)
        self._registry = Registry(home)
        self._own = Credentials.load(home / IDENTITY)
        self._log = trail(home)
        self._studies = Studies(home)
        self._context = server_context(self._own)
        self._gate = Gate(
            GateSettings(home / "run", self._settings.host, port),
            self._context,
            self._registry,
            enrolment_app(home),
            lambda kind, fields: self._note(kind, **fields),
        )
        self._not_renewed = ""
        """Why the certificate could not be renewed when that was last tried."""
        self._scheduler = Scheduler(
            home,
            self._studies,
            at_once,
            self._gate.open_run,
            self._gate.close_run,
            self._active,
            self._note,
        )

    async def run(self, monitor_port: int, operator_socket: Path | None) -> None:
        """Serves until SIGTERM or SIGINT."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        self._note("coordinator started", pid=os.getpid())
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._gate.open())
            operators = self._operator_app()
            await stack.enter_async_context(_serving(operators, _socket_at(self._home / SOCKET)))
            if operator_socket:
                # Anybody may knock; who is let in depends on what they sign with.
                opened = _socket_at(operator_socket, mode=0o666)
                await stack.enter_async_context(_serving(operators, opened))
            if monitor_port:
                app = Observed(self._home, self._nodes, self._troubles).app()
                await stack.enter_async_context(_serving(app, _loopback(monitor_port)))
            watching = asyncio.create_task(self._watch_members())
            conducting = asyncio.create_task(self._scheduler.run())
            renewing = asyncio.create_task(self._renew())
            say_ready()
            asked: list[asyncio.Task[Any]] = [
                asyncio.create_task(stop.wait()), conducting, watching, renewing,
            ]  # fmt: skip
            done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            for task in (conducting, watching, renewing):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await conducting
            for task in done:
                task.result()
        self._note("coordinator stopped")

    async def _renew(self) -> None:
        """The coordinator's own certificate renews itself; who is connected stays connected."""
        while True:
            try:
                if await asyncio.to_thread(renew_coordinator_if_due, authority_at(self._home)):
                    present(self._context, Credentials.load(self._home / IDENTITY))
                    self._note("certificate renewed")
                self._not_renewed = ""
            except (FedvoxError, OSError) as error:  # the certificate is good for a while yet
                self._not_renewed = f"the coordinator's certificate is not renewed: {error}"
                log.error("%s", self._not_renewed)
            await asyncio.sleep(_RENEW_AGAIN_S if self._not_renewed else _RENEW_S)

    async def _watch_members(self) -> None:
        """Studies go on without sites that were revoked, also while no coordinator was running."""
        before = -1
        while True:
            try:
                changes = self._registry.changes()
                if changes != before:
                    self._scheduler.exclude(self._sites_in(SiteState.REVOKED))
                    before = changes
            except FedvoxError as error:  # a disk that is full has room again some time
                log.error("looking after the members: %s", error)
            await asyncio.sleep(_LOOK_S)

    def _operator_app(self) -> ASGIApp:
        doorman = Doorman(self._own.root, self._registry.rank_of, self._registry.is_revoked)
        return OperatorApi(self._studies, doorman, self._nodes, self._note, self._invited).app()

    def _active(self) -> tuple[str, ...]:
        return self._sites_in(SiteState.ACTIVE)

    def _invited(self) -> tuple[str, ...]:
        return self._sites_in(SiteState.ACTIVE, SiteState.INVITED)

    def _sites_in(self, *states: SiteState) -> tuple[str, ...]:
        return tuple(sorted(one.name for one in self._registry.sites() if one.state in states))

    def _nodes(self) -> Nodes:
        return {
            site: (presence.online, presence.last_seen or "")
            for site, presence in self._gate.nodes().items()
        }

    def _troubles(self) -> list[str]:
        host, port = self._settings.host, self._gate.port
        troubles = outward_troubles(host, port, self._own.root)
        troubles += filter(None, [self._not_renewed])
        troubles += self._scheduler.troubles() + self._studies.damaged()
        troubles += authority_at(self._home).troubles()
        if not os.access(self._home, os.W_OK):
            troubles.append("the coordinator's folder cannot be written")
        return troubles

    def _note(self, kind: str, **fields: object) -> None:
        self._log.append(kind, **fields)


@contextlib.asynccontextmanager
async def _serving(app: ASGIApp, opened: socket.socket) -> AsyncIterator[None]:
    server = _Server(
        uvicorn.Config(
            app, ws="none", lifespan="off", access_log=False, log_config=None,
            timeout_graceful_shutdown=2,
        )
    )  # fmt: skip
    serving = asyncio.create_task(server.serve([opened]))
    try:
        while not server.started:
            if serving.done():
                serving.result()
            await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """A server whose process has its own way with signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None are captured."""
        yield


def _socket_at(path: Path, mode: int = 0o600) -> socket.socket:
    if not path.parent.is_dir():
        raise InputError(f"{path}: its folder is not there; make it, or name another")
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        with reachable(path) as name:
            opened.bind(name)
        path.chmod(mode)
    except OSError as error:
        raise ResourceError(
            f"{path}: cannot be opened: {error.strerror or error}; keep the coordinator in a "
            "folder on a disk of this machine"
        ) from error
    return opened


def _loopback(port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind(("127.0.0.1", port))
    except OSError as error:
        raise ResourceError(
            f"127.0.0.1:{port}: cannot be listened on: {error.strerror}; choose another "
            "--monitor-port"
        ) from error
    return opened
