"""The other arm: a SuperLink, SuperNodes and an app as Flower's documents have them, on loopback.

It is spared TLS, and its sites spared training: like ours they answer with random numbers.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedvox.common.errors import FedvoxError

_OFFLINE = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}
_PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "stock"
version = "1.0.0"
license = "Apache-2.0"
dependencies = []

[tool.hatch.build.targets.wheel]
packages = ["."]

[tool.flwr.app]
publisher = "bench"

[tool.flwr.app.components]
serverapp = "stock.server:app"
clientapp = "stock.client:app"

[tool.flwr.app.config]
sites = 1
elements = 1
rounds = 1
out = ""
"""
_SERVER = """\
import json, time
from pathlib import Path
import numpy as np
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()

@app.main()
def main(grid, context):
    given, seconds = context.run_config, []
    while len(nodes := list(grid.get_node_ids())) < given["sites"]:
        time.sleep(0.2)
    weights = np.random.default_rng(0).random(int(given["elements"]), np.float32)
    for _ in range(given["rounds"]):
        content = RecordDict({"arrays": ArrayRecord([weights])})
        begun = time.perf_counter()
        replies = list(grid.send_and_receive([Message(content, n, "train") for n in nodes]))
        total = sum(r.content["arrays"].to_numpy_ndarrays()[0].astype(np.float64) for r in replies)
        seconds.append(time.perf_counter() - begun)
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    Path(given["out"]).write_text(json.dumps({"seconds": seconds, "peak_bytes": peak}))
"""
_CLIENT = """\
import numpy as np
from flwr.app import ArrayRecord, Message, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

@app.train()
def train(message, context):
    (weights,) = message.content["arrays"].to_numpy_ndarrays()
    update = np.random.default_rng().random(weights.shape, np.float32)
    return Message(RecordDict({"arrays": ArrayRecord([update])}), reply_to=message)
"""


@dataclass(frozen=True)
class Stock:
    """What rounds took."""

    seconds: list[float]
    conductor_bytes: int
    superlink_bytes: int


def timed_stock(folder: Path, sites: int, elements: int, rounds: int, limit_s: float) -> Stock:
    """The same rounds by plain Flower; FedvoxError where they did not end in time."""
    home, out = folder / "flwr", folder / "out.json"
    app = _write_app(folder / "stock")
    port, *ports = _free_ports(1 + sites)
    home.mkdir()
    connection = (
        f'[superlink]\ndefault = "bench"\n\n[superlink.bench]\naddress = "127.0.0.1:{port}"\n'
    )
    (home / "config.toml").write_text(f"{connection}insecure = true\n")
    environment = {**os.environ, **_OFFLINE, "FLWR_HOME": str(home)}
    # Flower starts its own programs by name.
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    with contextlib.ExitStack() as stack, (folder / "stock.log").open("w") as log:

        def started(*command: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [_program(command[0]), *command[1:]],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
            return process

        where = ["--host", "127.0.0.1", "--port", str(port)]
        database = ["--database", str(folder / "state.db")]
        superlink = started(
            "flower-superlink", "--insecure", *where, *database,
            "--disable-runtime-dependency-installation",
        )  # fmt: skip
        _await_port(port)
        for own in ports:
            started(
                "flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{port}",
                "--port", str(own),
            )  # fmt: skip
        _submit(app, environment, sites, elements, rounds, out)
        end = time.monotonic() + limit_s
        while not out.exists() and time.monotonic() < end:
            time.sleep(0.5)
        if not out.exists():
            raise FedvoxError(
                f"plain Flower did not end: {(folder / 'stock.log').read_text()[-800:]}"
            )
        time.sleep(0.2)
        told = json.loads(out.read_text())
        lines = Path(f"/proc/{superlink.pid}/status").read_text().splitlines()
        peak = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return Stock(told["seconds"], told["peak_bytes"], peak)


def _write_app(folder: Path) -> Path:
    package = folder / "stock"
    package.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(_PROJECT)
    (package / "__init__.py").write_text('"""An app."""\n')
    (package / "server.py").write_text(_SERVER)
    (package / "client.py").write_text(_CLIENT)
    return folder


def _submit(
    app: Path, environment: Mapping[str, str], sites: int, elements: int, rounds: int, out: Path
) -> None:
    config = f'sites={sites} elements={elements} rounds={rounds} out="{out}"'
    done = subprocess.run(
        [_program("flwr"), "run", str(app), "bench", "--run-config", config],
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise FedvoxError(f"plain Flower takes no run: {(done.stdout + done.stderr)[-800:]}")


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(one.getsockname()[1]) for one in taken]


def _await_port(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise FedvoxError("plain Flower's SuperLink does not listen")
