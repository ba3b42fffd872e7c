"""Every network and loss that a study file can ask for can be trained privately as it is."""

import itertools

import pytest
import torch

from fedvox.client.training.learner import Learner
from fedvox.client.training.private.validation import require_private
from fedvox.common.study import load_study

CPU = ("training.device=cpu", "training.precision=fp32", "privacy.mode=patient")
VOLUME = (*CPU, "task.classes=['a', 'b', 'c']", "data.patch=[16, 16, 16]")
WHOLE = (
    *CPU, "task.kind=classification", "task.classes=['a', 'b', 'c']", "data.size=[32, 32, 32]",
    "data.patch=[32, 32, 32]", "model.channels=[8]",
)  # fmt: skip
QUICK = ("unet", "segresnet", "resnet18")
SLOW = ("dynunet", "densenet121", "resnet50", "seresnet50")
CLASSIFIERS = ("densenet121", "resnet18", "resnet50", "seresnet50")
OPTIONS = (
    ("model.norm=instance", "training.class_weights=[1.0, 2.0, 3.0]"),
    ("model.norm=group", "model.standardise=true"),
    ("model.norm=instance", "model.dropout=0.3"),
)
CASES = [
    *itertools.product(QUICK, OPTIONS),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in itertools.product(SLOW, OPTIONS)),
]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize(("model", "options"), CASES)
def test_it_mixes_no_patients_and_keeps_nothing_of_them(
    model: str, options: tuple[str, ...]
) -> None:
    task = WHOLE if model in CLASSIFIERS else (*VOLUME, "model.channels=[4, 8, 16]")
    learner = Learner(load_study(settings=[*task, f"model.name={model}", *options]))
    images, labels = learner._anything(3)
    require_private(learner.model, learner.task.loss, images, labels)
    # What leaves is what is trained, or the same under a second name: no buffer is among it.
    parameters = set(map(id, learner.model.parameters()))
    leaves = learner.model.state_dict(keep_vars=True)
    assert leaves.keys() == learner.weights().keys()
    assert {name for name, tensor in leaves.items() if id(tensor) not in parameters} == set()
