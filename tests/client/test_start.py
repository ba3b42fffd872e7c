"""`fedvox site start`: both processes, until it is told to end. A consortium is not needed for it."""

import json
import os
import signal
import time
from pathlib import Path

from command import process
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
