"""The repository is a Flower app: `flwr run` gives the model that `fedvox simulate` gives."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from command import cached_in, fedvox, summary

TOP = Path(__file__).parents[2]
STUDY = """
[data]
validation = 0.0
[model]
channels = [4, 8]
[training]
rounds = 2
local_steps = 1
device = "cpu"
[simulation]
sites = 2
patients = 6
"""


def free_port() -> str:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return str(listening.getsockname()[1])


def superlinks(port: str) -> list[int]:
    """Processes of the SuperLink that Flower left listening on the port."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(b"flower-superlink" in word for word in words) and port.encode() in words:
            found.append(int(place.name))
    return found


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_flwr_run_gives_the_same_model(tmp_path: Path) -> None:
    app, study, out = tmp_path / "app", tmp_path / "study.toml", tmp_path / "out"
    app.mkdir()
    for name in ("pyproject.toml", "LICENSE"):
        (app / name).write_bytes((TOP / name).read_bytes())
    study.write_text(STUDY)
    port = free_port()
    scripts = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{scripts}:{os.environ['PATH']}",
        "FLWR_HOME": str(tmp_path / "flwr"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": port,
        "FLWR_LOCAL_CONTROL_API_PORT": free_port(),
        "FEDVOX_CACHE": str(tmp_path / "cache"),
    }
    command = [
        scripts / "flwr", "run", app, "--stream", "--federation-config", "num-supernodes=2",
        "--run-config", f'study="{study}" out="{out}"',
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=180
        )
    finally:
        for pid in superlinks(port):
            os.kill(pid, signal.SIGTERM)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "round 2/2  2 of 2 sites" in done.stdout
    with cached_in(tmp_path / "cache"):
        assert fedvox("simulate", study, "--out", tmp_path / "here", "--quiet").status == 0
    model = summary(tmp_path / "here")["model_sha256"]
    assert f"sha256 {model}" in done.stdout
    assert {"model.safetensors", "rounds.jsonl", "study.toml"} <= {p.name for p in out.iterdir()}
    (bundle,) = (tmp_path / "flwr/apps").iterdir()
    assert {p.name for p in bundle.iterdir()} == {"LICENSE", "pyproject.toml"}
