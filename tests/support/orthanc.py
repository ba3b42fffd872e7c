"""A real PACS for tests: Orthanc in a process of its own, with a folder and ports of its own."""

import json
import socket
import subprocess
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

PROGRAM = Path("/usr/sbin/Orthanc")
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
TITLE = "ORTHANC"


@dataclass(frozen=True)
class Orthanc:
    """One that runs."""

    http_port: int
    dicom_port: int
    move_port: int
    """Where it sends when it is told to move to FEDVOX."""

    @property
    def peer(self) -> str:
        return f"{TITLE}@127.0.0.1:{self.dicom_port}"

    @property
    def dicomweb(self) -> str:
        return f"http://127.0.0.1:{self.http_port}/dicom-web"

    def put(self, paths: Sequence[Path]) -> None:
        """Uploads files."""
        for path in paths:
            self.ask("POST", "/instances", content=path.read_bytes()).raise_for_status()

    def empty(self) -> None:
        """Removes every patient."""
        for patient in self.ask("GET", "/patients").json():
            self.ask("DELETE", f"/patients/{patient}")

    def ask(self, method: str, path: str, **what: Any) -> httpx.Response:
        url = f"http://127.0.0.1:{self.http_port}{path}"
        return httpx.request(method, url, trust_env=False, timeout=30, **what)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require(program: Path) -> None:
    """Skips the test, loudly, where a program is not installed."""
    if not program.exists():
        warnings.warn(f"{program} is not installed: tests against it are SKIPPED", stacklevel=2)
        pytest.skip(f"NOT TESTED: {program} is missing; install the Debian package")


@contextmanager
def orthanc(folder: Path, **settings: Any) -> Iterator[Orthanc]:
    """An Orthanc that runs while the block does."""
    require(PROGRAM)
    running = Orthanc(free_port(), free_port(), free_port())
    configuration = {
        "Name": "test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": running.http_port,
        "DicomPort": running.dicom_port,
        "DicomAet": TITLE,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomModalities": {"fedvox": ["FEDVOX", "127.0.0.1", running.move_port]},
        "Plugins": [str(PLUGIN)] if PLUGIN.exists() else [],
        "DicomWeb": {"Enable": True},
        "SaveJobs": False,
        "HttpThreadsCount": 4,
        **settings,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "orthanc.json"
    path.write_text(json.dumps(configuration))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, path], stdout=log, stderr=log, cwd=folder)
    try:
        _wait(running, process, folder / "orthanc.log")
        yield running
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(running: Orthanc, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            running.ask("GET", "/system").raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise RuntimeError(f"Orthanc did not start:\n{log.read_text()}")
