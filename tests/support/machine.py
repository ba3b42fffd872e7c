"""A machine with a systemd of its own over this one's files: what it writes is thrown away."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from bundles import BASE_PATH

SYSTEMD = Path("/lib/systemd/systemd")


@dataclass(frozen=True)
class Machine:
    """A container whose first process is systemd."""

    pid: int
    """Of its first process, as seen from outside."""

    def run(self, command: str, *, check: bool = True) -> str:
        """What a shell command in it prints."""
        enter = ["nsenter", f"--target={self.pid}", "-m", "-u", "-i", "-n", "-p", "-C"]
        done = subprocess.run(
            [*enter, "--", "env", "-i", f"PATH={BASE_PATH}", "HOME=/root", "LC_ALL=C", "bash", "-c", f"cd /; {command}"],
            capture_output=True, text=True, timeout=560,
        )  # fmt: skip
        if check and done.returncode:
            pytest.fail(f"{command}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def wait(self, command: str, enough: Callable[[str], bool], patience_s: float = 120) -> str:
        """Runs a command until what it prints is enough."""
        end = time.monotonic() + patience_s
        while not enough(said := self.run(command, check=False)):
            if time.monotonic() > end:
                journal = self.run("journalctl --no-pager -n 60", check=False)
                pytest.fail(f"{command}\n{said}\n{journal}")
            time.sleep(1)
        return said


@contextlib.contextmanager
def booted(place: Path, shared: Path) -> Iterator[Machine]:
    """A machine that sees the folder `shared` as /srv/shared; skips where none can be made."""
    if os.geteuid() != 0 or shutil.which("systemd-nspawn") is None or not SYSTEMD.exists():
        pytest.skip("NOT TESTED: needs root and the Debian packages systemd, systemd-container")
    for name in ("upper", "work", "root"):
        (place / name).mkdir()
    options = f"lowerdir=/,upperdir={place / 'upper'},workdir={place / 'work'}"
    mount = ["mount", "-t", "overlay", "overlay", "-o", options, str(place / "root")]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("NOT TESTED: needs the right to mount an overlay")
    try:
        with _running(place, shared) as machine:
            yield machine
    finally:
        subprocess.run(["umount", "-l", place / "root"], check=False)


@contextlib.contextmanager
def _running(place: Path, shared: Path) -> Iterator[Machine]:
    name = f"fedvox{os.getpid()}"
    command = [
        "systemd-nspawn", "--register=no", "--keep-unit", "--private-network", "--console=pipe",
        f"--directory={place / 'root'}", f"--bind-ro={shared}:/srv/shared", "--tmpfs=/work",
        f"--machine={name}", "--kill-signal=SIGRTMIN+3", "--link-journal=no",
        str(SYSTEMD), "systemd.unit=basic.target", "systemd.show_status=false",
    ]  # fmt: skip
    with (place / "boot.log").open("wb") as log:
        container = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        machine = Machine(_first_process(container, place))
        machine.wait(
            "systemctl is-system-running", lambda said: said.strip() in ("running", "degraded")
        )
        yield machine
    finally:
        container.terminate()
        try:
            container.wait(30)
        except subprocess.TimeoutExpired:
            container.kill()
            container.wait()


def _first_process(container: subprocess.Popen[bytes], place: Path) -> int:
    for _ in range(200):
        if container.poll() is not None:
            pytest.skip(
                f"NOT TESTED: no machine starts here: {(place / 'boot.log').read_text()[-300:]}"
            )
        path = Path(f"/proc/{container.pid}/task/{container.pid}/children")
        for child in map(int, path.read_text().split()):
            with contextlib.suppress(OSError):
                if b"systemd.unit=basic" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return child
        time.sleep(0.1)
    pytest.fail("the machine did not start")
