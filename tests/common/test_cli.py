import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest
from command import fedvox, process

from fedvox.common.cli import COMMANDS

README = Path(__file__).parents[2] / "README.md"


def test_without_a_command_it_lists_all() -> None:
    said = fedvox()
    assert said.status == 0
    for name, (_, text) in COMMANDS.items():
        assert name in said.out and text in said.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_is_documented(name: str) -> None:
    said = fedvox(name, "--help")
    assert said.status == 0 and f"fedvox {name}" in said.out
    docstring = import_module(COMMANDS[name][0]).__doc__ or ""
    assert docstring.splitlines()[0] in said.out
    assert f"fedvox {name}" in README.read_text()


def test_an_unknown_command_or_option_is_bad_input() -> None:
    said = fedvox("simulat")
    assert said.status == 2 and "'simulate'" in said.err
    assert fedvox("simulate", "--rouns=3").status == 2


def test_an_error_is_one_line_with_the_command_in_front() -> None:
    said = fedvox("study", "check", "/no/such/study.toml")
    assert (said.status, said.out) == (2, "")
    assert said.err.startswith("fedvox study: /no/such/study.toml: no such study file")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_it_is_still_loading(sent: signal.Signals, tmp_path: Path) -> None:
    with process("simulate", "--out", tmp_path / "run", FEDVOX_CACHE=str(tmp_path)) as running:
        until = time.monotonic() + 20
        while "torch" not in _mapped(running.pid) and time.monotonic() < until:
            time.sleep(0.02)
        running.send_signal(sent)
        out, told = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, "") and told == "fedvox simulate: interrupted\n"


def _mapped(pid: int) -> str:
    """Names of the libraries a process has loaded."""
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return ""


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    command = f"{Path(sys.executable).with_name('fedvox')} study new | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("# A fedvox study") and done.stderr == ""


def test_nothing_reports_home(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("FLWR_TELEMETRY_ENABLED", "RAY_USAGE_STATS_ENABLED")
    for name in names:
        monkeypatch.setenv(name, "to be restored")
        monkeypatch.delenv(name)
    fedvox("study", "new")
    assert [os.environ[name] for name in names] == ["0", "0"]
    for name in names:
        monkeypatch.setenv(name, "0")
