"""`fedvox site start`: both processes, until it is told to end. A consortium is not needed for it."""

import json
import os
import signal
import time
from pathlib import Path

from command import fedvox, process
from enrolment import free_port
from trainers import give_identity, new_home

from fedvox.client.contract.address import socket_of
from fedvox.client.contract.stub import TrainerStub, TrainerUnavailable


def test_the_trainer_is_kept_running_and_ends_with_the_command(tmp_path: Path) -> None:
    home = new_home(tmp_path / "h")
    give_identity(home)
    with process("site", "start", "--home", home) as command, TrainerStub(socket_of(home)) as stub:
        pids = set()
        for _ in range(2):  # killed once in between
            end = time.monotonic() + 60
            while True:
                try:
                    assert stub.health().site == "berlin"
                    pid = json.loads((home / "run" / "now.json").read_text())["pid"]
                    if pid not in pids:
                        break
                except (TrainerUnavailable, OSError):
                    pass
                assert time.monotonic() < end
                time.sleep(0.1)
            pids.add(pid)
            if len(pids) == 1:
                os.kill(pid, signal.SIGKILL)
        command.send_signal(signal.SIGTERM)
        assert command.wait(30) == 0
        assert command.stdout is not None
        assert command.stdout.read() == ""  # not ready: no coordinator answered
    assert not Path(f"/proc/{pid}").exists()
    lines = [json.loads(line) for line in (home / "log" / "site.log").read_text().splitlines()]
    said = [(line["process"], line.get("text", "")) for line in lines]
    assert ("trainer", "ended with SIGKILL") in said
    assert [name for name, text in said[-4:] if "ended with" in text] == ["link", "trainer"]


def test_what_cannot_work_is_told_and_not_tried_for_ever(tmp_path: Path) -> None:
    home = new_home(tmp_path / "h", data="phantom:none")
    give_identity(home)
    with process("site", "start", "--home", home) as command:
        _, told = command.communicate(timeout=90)
    assert command.returncode == 2
    assert "have numbers" in told


def test_a_home_with_a_long_name_does_for_a_whole_life(tmp_path: Path) -> None:
    """Sockets are reached whatever the folders are called: coordinator, trainer, link, commands."""
    hub = tmp_path / ("h" * 60) / ("h" * 60)
    home, kit = tmp_path / ("s" * 60) / ("s" * 60), tmp_path / "berlin.kit"
    hub.parent.mkdir()
    home.parent.mkdir()
    assert len(str(hub)) > 120 and len(str(home)) > 120
    port = free_port()
    assert fedvox("consortium", "init", hub, "--address", f"localhost:{port}").status == 0
    assert fedvox("consortium", "invite", "berlin", "--home", hub, "--out", kit).status == 0
    with process("coordinator", "start", hub, "--port", str(port)) as coordinator:
        assert coordinator.stdout is not None
        assert "ready" in coordinator.stdout.readline()
        assert fedvox("site", "join", kit, "--home", home, "--data", "phantom:1").status == 0
        assert fedvox("study", "list", "--home", hub).status == 0
        with process("site", "start", "--home", home) as site:
            assert site.stdout is not None
            assert site.stdout.readline() == "site berlin ready\n"
            end = time.monotonic() + 30
            while "connected since" not in (said := fedvox("site", "now", "--home", home).out):
                assert time.monotonic() < end, said
                time.sleep(0.1)
            checked = json.loads(fedvox("site", "check", "--home", home, "--json").out)
            assert not [line for line in checked["findings"] if line["level"] == "red"]
            site.send_signal(signal.SIGTERM)
            assert site.wait(30) == 0
        coordinator.send_signal(signal.SIGTERM)
        assert coordinator.wait(30) == 0
    assert "DOES NOT RUN" in fedvox("site", "now", "--home", home).out
