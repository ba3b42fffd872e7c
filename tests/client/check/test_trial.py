"""A step of training, in a process of its own."""

from pathlib import Path

import pytest
from datasets import dataset
from small import tiny

from fedvox.client.check import trial, trying
from fedvox.client.check.finding import Level, look_at
from fedvox.client.check.trying import Failed, Trial
from fedvox.client.check.visit import Visit

GIB = 1 << 30


def visit(home: Path, *settings: str) -> Visit:
    dataset(home, cases=20)
    classes = "task.classes=['background', 'lesion']"
    return Visit(home, tiny(classes, *settings), "dataset:d")


@pytest.mark.parametrize("mode", ["none", "patient"])
def test_a_step_is_taken_timed_and_forgotten(tmp_path: Path, mode: str) -> None:
    looked = visit(tmp_path, f"privacy.mode={mode}")
    before = {path for path in tmp_path.rglob("*") if "prepared" not in path.parts}
    found = looked.trial
    assert isinstance(found, Trial), found
    assert 0 < found.step_s < 20 and not found.on_gpu and found.device.startswith("cpu")
    assert 100 << 20 < found.peak_bytes < found.limit_bytes
    assert {path for path in tmp_path.rglob("*") if "prepared" not in path.parts} == before
    lines = {line.name: line.finding for line in look_at(looked, trial.CHECKS)}
    assert {finding.level for finding in lines.values()} == {Level.GREEN}


def test_a_step_that_cannot_be_taken_is_red(tmp_path: Path) -> None:
    looked = visit(tmp_path, "data.patch=[9, 9, 9]")  # which the network cannot halve
    assert isinstance(looked.trial, Failed)
    (line,) = look_at(looked, trial.CHECKS)
    assert line.finding.level is Level.RED and "data.patch" in line.finding.text
    assert line.finding.shared == "no step could be taken"


def test_a_trial_that_the_system_ends_is_red(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trying, "_try", _killed)
    looked = visit(tmp_path)
    found = looked.trial
    assert isinstance(found, Failed) and found.for_want_of_memory
    (line,) = look_at(looked, trial.CHECKS)
    assert line.finding.level is Level.RED and "smaller data.patch" in line.finding.remedy


def _killed(order: object) -> None:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def test_hours_follow_from_the_step(tmp_path: Path) -> None:
    looked = Visit(tmp_path, tiny("training.local_steps=100", "training.rounds=20"))
    looked.__dict__["trial"] = Trial("cpu, fp32", 36.0, 7 * GIB, 8 * GIB, False)
    found = {line.name: line.finding for line in look_at(looked, trial.CHECKS)}
    assert "1 h a round of 100 steps, 20 h for all 20" in found["trial.round"].text
    assert found["trial.memory"].level is Level.YELLOW
    looked.__dict__["trial"] = Trial("cpu, fp32", 3600.0, GIB, 8 * GIB, False)
    found = {line.name: line.finding for line in look_at(looked, trial.CHECKS)}
    assert found["trial.round"].level is Level.YELLOW
    assert found["trial.memory"].level is Level.GREEN
