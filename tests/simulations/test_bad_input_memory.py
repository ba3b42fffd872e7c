"""The estimate of a study's memory, against what one worker really takes."""

import json
import subprocess
import sys

import pytest

from fedvox.common.errors import ResourceError
from fedvox.common.study import load_study
from fedvox.simulations import memory

STEP = """
import json, re, sys
from pathlib import Path
import numpy as np, torch
from fedvox.client.training.learner import Learner
from fedvox.client.training.schedule import Stretch
from fedvox.common.study import load_study
from fedvox.simulations.memory import needed_bytes

torch.set_num_threads(1)
def peak():
    # Of this program alone: what getrusage says includes the process that started it.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) * 1024

study = load_study(settings=sys.argv[1:])
learner = Learner(study)
weights = learner.weights()
shape = (study.training.batch_size, 1, *study.data.patch)
batch = torch.zeros(shape), torch.zeros(shape, dtype=torch.int64)
before = peak()
learner.train(weights, learner.gradients([batch, batch]), Stretch(2, 0.0, 1.0))
print(json.dumps([needed_bytes(study, 1), peak() - before]))
"""


@pytest.mark.parametrize("batch_size", [4, 12])
def test_the_estimate_is_within_a_factor_of_three(batch_size: int) -> None:
    words = [
        'task.classes=["background", "organ", "lesion"]',
        "training.device=cpu",
        f"training.batch_size={batch_size}",
    ]
    command = [sys.executable, "-c", STEP, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    needed, taken = json.loads(done.stdout)
    assert taken / 3 < needed < taken * 3, (needed / 2**20, taken / 2**20)


def test_each_worker_counts() -> None:
    study = load_study(settings=['task.classes=["background", "organ"]'])
    assert memory.needed_bytes(study, 4) == 4 * memory.needed_bytes(study, 1)


def test_a_limit_of_the_container_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    study = load_study(settings=['task.classes=["background", "organ"]', "training.device=cpu"])
    memory.require_memory(study, 1)
    monkeypatch.setattr(memory, "_left_in_container", lambda: 1 << 20)
    with pytest.raises(ResourceError, match="0.0 GiB are free"):
        memory.require_memory(study, 1)
