"""A consortium whose gate and links are real processes on loopback."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import enrolment

from fedvox.client.joining.dialling import Proxy
from fedvox.client.joining.join import Wish, join
from fedvox.client.link.dial import Line
from fedvox.common.identity.credentials import Credentials
from fedvox.server.consortium.admission import invite
from fedvox.server.consortium.members import revoke_site
from fedvox.server.gate.ticket import RunTicket

SCRIPT = Path(__file__).with_name("gate_process.py")


@dataclass
class GateProcess:
    """A gate, which may be killed and started again."""

    home: Path
    port: int
    limits: dict[str, float] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        words = [f"{key}={value}" for key, value in self.limits.items()]
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(self.home), str(self.port), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read()["port"] == self.port

    def tell(self, *words: object) -> Any:
        assert self.process and self.process.stdin
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        return self._read()

    def open(self, study: str = "trial") -> RunTicket:
        return RunTicket.from_plain(self.tell("open", study))

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        if self.process and self.process.stdin:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise

    def records(self, kind: str = "") -> list[dict[str, Any]]:
        """What was recorded, of one kind."""
        path = self.home / "records.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [one for one in map(json.loads, lines) if kind in ("", one["kind"])]

    def reasons(self) -> list[str]:
        return [one["reason"] for one in self.records("refused")]

    def online(self) -> list[str]:
        return [site for site, (there, _) in self.tell("nodes").items() if there]

    def _read(self) -> Any:
        assert self.process and self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the gate has ended"
        return json.loads(line)


@dataclass
class Town:
    """A consortium with a gate, in one folder."""

    folder: Path
    gate: GateProcess
    of: enrolment.Consortium
    homes: dict[str, Path] = field(default_factory=dict)

    def join(self, site: str) -> Path:
        """A site that joins over the gate."""
        home = self.folder / site
        join(home, invite(self.of.authority, site), Wish())
        self.homes[site] = home
        return home

    def revoke(self, site: str) -> None:
        revoke_site(self.of.authority, site)

    def line(self, site: str) -> Line:
        """A line with a site's certificate."""
        return Line(Credentials.load(self.homes[site] / "identity"), Proxy())

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.gate.port}"


@contextlib.contextmanager
def town(folder: Path, *sites: str, **limits: float) -> Iterator[Town]:
    """A consortium whose gate is open, and sites that have joined."""
    port = enrolment.free_port()
    home = folder / "coordinator"
    of = enrolment.consortium(home, port)
    gate = GateProcess(home, port, limits)
    gate.start()
    try:
        made = Town(folder, gate, of)
        for site in sites:
            made.join(site)
        yield made
    finally:
        gate.stop()


@contextlib.contextmanager
def linked(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The link of a site, until the block is left."""
    with (home / "link.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "fedvox.client.link", "--home", str(home)], stderr=log
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def until(holds: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What `holds` says once it says something; AssertionError after so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := holds():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{holds} did not come true within {seconds} s")
