"""A consortium on loopback for the benchmark of the network: its processes, begun and ended."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedvox.client.joining.join import Wish, join
from fedvox.common.errors import FedvoxError
from fedvox.common.identity.addresses import Address
from fedvox.server.consortium.admission import invite
from fedvox.server.consortium.authority import Authority
from fedvox.server.consortium.founding import found
from fedvox.server.consortium.recording import recorder_of
from fedvox.server.consortium.settings import settings_for

_PARTS = [sys.executable, "-m", "fedvox.simulations.bench.network_parts"]
_END_S = 30.0


@dataclass
class Part:
    """A process that says what it does, and ends when its input does."""

    process: subprocess.Popen[str]

    @classmethod
    def start(cls, *command: str) -> Part:
        """Starts it."""
        piped, quiet = subprocess.PIPE, subprocess.DEVNULL
        made = subprocess.Popen([*command], stdin=piped, stdout=piped, stderr=quiet, text=True)
        return cls(made)

    def said(self) -> Any:
        """The next thing it says; FedvoxError where it has ended instead."""
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise FedvoxError(f"a process of the benchmark has ended: {self.process.args!r}")
        return json.loads(line)

    def end(self) -> None:
        """Ends its input, and it if need be."""
        if self.process.stdin:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()


@dataclass
class Town:
    """A gate, and sites that have joined."""

    folder: Path
    port: int
    ticket: dict[str, Any]
    homes: dict[str, Path] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where the gate is."""
        return f"https://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Timed:
    """What rounds took."""

    seconds: list[float]
    conductor_bytes: int
    """Most memory of the process that conducts, less what it held before."""
    gate_bytes: int
    link_bytes: int
    """Most memory of the first site's link; 0 where the sites share a process."""


def timed(folder: Path, count: int, elements: int, rounds: int, *, shared: bool = False) -> Timed:
    """Rounds of a consortium of so many sites, each with its link, all over mutual TLS."""
    with contextlib.ExitStack() as stack:
        gate, town = _open(folder, count, stack)
        first = _share(town, rounds, stack) if shared else _links(town, stack)
        asked = {
            "sites": list(town.homes),
            "elements": elements,
            "rounds": rounds,
            "folder": str(folder),
        }
        conductor = Part.start(*_PARTS, "conductor", json.dumps(asked))
        stack.callback(conductor.end)
        if conductor.process.stdin:
            conductor.process.stdin.write(json.dumps(town.ticket) + "\n")
            conductor.process.stdin.flush()
        told = conductor.said()
        link_bytes = 0 if shared else _peak_of(first.process.pid)
        gate_bytes = _peak_of(gate.process.pid)
    own = told["peak_bytes"] - told["before_bytes"]
    return Timed(told["seconds"], own, gate_bytes, link_bytes)


def _open(folder: Path, count: int, stack: contextlib.ExitStack) -> tuple[Part, Town]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    home = folder / "coordinator"
    found(home, settings_for("bench", (Address("127.0.0.1", port),)))
    gate = Part.start(*_PARTS, "gate", str(home))
    stack.callback(gate.end)
    town = Town(folder, port, gate.said())
    authority = Authority.open(home, recorder_of(home), "the benchmark")
    for number in range(1, count + 1):
        site = f"site-{number}"
        town.homes[site] = folder / site
        join(town.homes[site], invite(authority, site), Wish())
    return gate, town


def _links(town: Town, stack: contextlib.ExitStack) -> Part:
    links = []
    for home in town.homes.values():
        trainer = Part.start(*_PARTS, "trainer", str(home))
        stack.callback(trainer.end)
        trainer.said()
        link = Part.start(sys.executable, "-m", "fedvox.client.link", "--home", str(home))
        stack.callback(link.process.wait, _END_S)
        stack.callback(link.process.terminate)
        links.append(link)
    return links[0]


def _share(town: Town, rounds: int, stack: contextlib.ExitStack) -> Part:
    homes = [str(home) for home in town.homes.values()]
    asked = {"url": town.url, "homes": homes, "rounds": rounds}
    part = Part.start(*_PARTS, "sites", json.dumps(asked))
    stack.callback(part.end)
    part.said()
    return part


def _peak_of(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
