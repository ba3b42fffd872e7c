"""Founds, starts and steers a coordinator and its sites as an operator and hospitals would."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fedvox.common.cli import main
from fedvox.common.errors import FedvoxError

_STOP_S = 40.0


@dataclass(eq=False)
class Part:
    """A command that runs until it is told to stop: the coordinator, or a site."""

    name: str
    words: tuple[str, ...]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    """Words before the command, such as those that enter a network namespace."""
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begins, without waiting until it is ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "fedvox.common.cli", *self.words],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment},
            )

    def wait_ready(self, seconds: float = 90.0) -> None:
        """Until it has said that it is ready since it was last started."""
        end = time.monotonic() + seconds
        while " ready" not in self._said():
            if self.process is None or self.process.poll() is not None:
                raise FedvoxError(f"{self.name} ended at its start; {self.log} says why")
            if time.monotonic() > end:
                raise FedvoxError(f"{self.name} is not ready after {seconds:g} s; see {self.log}")
            time.sleep(0.05)

    def _said(self) -> str:
        return self.log.read_text(errors="replace").rpartition("\n--- started\n")[2]

    def begin(self) -> Self:
        """Starts; what it said before does not count any more."""
        with self.log.open("ab") as log:
            log.write(b"\n--- started\n")
        self.start()
        return self

    def kill(self) -> None:
        """Without any warning: the process and, since they die with it, all below."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """In order; the exit status."""
        if self.process is None:
            return 0
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL


class LocalConsortium:
    """A consortium in a folder of this machine. Use it as a context manager: it owns processes."""

    def __init__(
        self,
        folder: Path,
        sites: Sequence[str],
        *,
        port: int = 0,
        threads: int = 1,
        data: Callable[[int], str] = lambda number: f"phantom:{number}",
        route: Callable[[str, int], int] = lambda site, port: port,
        address: str = "127.0.0.1",
        inside: Callable[[str], tuple[str, ...]] = lambda party: (),
    ) -> None:
        """`route` says at which port a site finds the coordinator: a proxy's, in a test.

        `inside` gives the words before a party's commands, such as `ip netns exec NAME`.
        """
        self.folder = folder
        self.home = folder / "coordinator"
        self.port = port or free_port()
        self.names = tuple(sites)
        self._data = data
        self._route = route
        self._address = address
        self._inside = inside
        self._environment = {"OMP_NUM_THREADS": str(threads), "FEDVOX_THREADS": str(threads)}
        folder.mkdir(parents=True, exist_ok=True)
        self.coordinator = Part(
            "coordinator",
            ("coordinator", "start", str(self.home), "--port", str(self.port)),
            folder / "coordinator.log",
            prefix=inside("coordinator"),
        )
        self.sites = {
            name: Part(
                name,
                ("site", "start", "--home", str(self.home_of(name)), "--foreground"),
                folder / f"{name}.log",
                self._environment,
                inside(name),
            )
            for name in self.names
        }

    def home_of(self, site: str) -> Path:
        """The folder of a site."""
        return self.folder / site

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for part in (*self.sites.values(), self.coordinator):
            part.stop()

    def found(self) -> None:
        """Makes the consortium, starts its coordinator, and has every site join."""
        command("consortium", "init", str(self.home), "--address", f"{self._address}:{self.port}")
        self.coordinator.begin().wait_ready()
        for number, site in enumerate(self.names, 1):
            self.join(site, self._data(number))

    def join(self, site: str, data: str) -> None:
        """Invites a site and has it join over the network."""
        kit = self.folder / f"{site}.kit"
        command("consortium", "invite", site, "--out", str(kit), "--home", str(self.home))
        home = self.home_of(site)
        words = ("site", "join", str(kit), "--home", str(home), "--data", data)
        if prefix := self._inside(site):
            entered = [*prefix, sys.executable, "-m", "fedvox.common.cli", *words]
            subprocess.run(entered, check=True, stdout=subprocess.DEVNULL)
        else:
            command(*words)
        routed, settings = self._route(site, self.port), home / "site.toml"
        settings.write_text(settings.read_text().replace(f":{self.port}", f":{routed}"))

    def start_sites(self) -> None:
        """Starts every site's trainer and link."""
        for part in self.sites.values():
            part.begin()
        for part in self.sites.values():
            part.wait_ready()

    def propose(self, study: Path, *settings: str) -> dict[str, Any]:
        """Proposes a study and begins it."""
        words = [word for setting in settings for word in ("--set", setting)]
        return command("study", "propose", str(study), *words, "--start", "--home", str(self.home))

    def approve(self, name: str, seconds: float = 60.0) -> None:
        """A person at every site approves the study, as soon as it is seen there."""
        for site in self.names:
            end = time.monotonic() + seconds
            while not self._approved(site, name):
                if time.monotonic() > end:
                    raise FedvoxError(f"{site} has not seen {name!r} after {seconds:g} s")
                time.sleep(0.2)

    def _approved(self, site: str, name: str) -> bool:
        try:
            command("site", "approve", name, "--by", "tester", "--home", str(self.home_of(site)))
        except FedvoxError:
            return False
        return True

    def status(self, name: str) -> dict[str, Any]:
        """What the coordinator tells of a study."""
        return command("study", "status", name, "--home", str(self.home))

    def wait_done(self, name: str, seconds: float) -> dict[str, Any]:
        """The status of the study once it has ended; FedvoxError where it does not."""
        end = time.monotonic() + seconds
        told: dict[str, Any] = {}
        while time.monotonic() < end:
            with suppress(FedvoxError):  # the coordinator may be down for a while
                told = self.status(name)
            if told.get("state") in ("done", "failed", "stopped"):
                return told
            time.sleep(0.25)
        raise FedvoxError(f"{name!r} has not ended after {seconds:g} s: {json.dumps(told)}")


def command(*words: str) -> dict[str, Any]:
    """Runs a command of fedvox with --json; what its last line says. FedvoxError where it fails."""
    out, complaint = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(complaint):
        status = main([*words, "--json"])
    if status:
        raise FedvoxError(complaint.getvalue().strip() or f"status {status}: {' '.join(words)}")
    said = out.getvalue().strip()
    told: dict[str, Any] = json.loads(said if said.startswith("{\n") else said.splitlines()[-1])
    return told


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
