"""Plans follow from shapes, can be written down, and are refused where they do not fit."""

import json
from contextlib import nullcontext

import pytest
import torch
from small import tiny
from torch import Tensor, nn
from torch.nn.utils import parametrize

from fedvox.client.training.private.agreement import require_equal
from fedvox.client.training.private.clipping import ClippedSum
from fedvox.client.training.private.contraction import WAYS, default_way
from fedvox.client.training.private.layered import LayersEngine
from fedvox.client.training.private.plain import LoopEngine
from fedvox.client.training.private.plan import Plan, make_engine, plan_by_shape, plan_from, trace
from fedvox.client.training.private.timing import plan_by_timing
from fedvox.common.errors import FedvoxError, InputError
from fedvox.common.tasks.seeding import Dropout, own_dropout
from fedvox.common.tasks.task import Task, task_for


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def task() -> Task:
    return task_for(tiny())


def batch() -> tuple[Tensor, Tensor]:
    return torch.randn(2, 1, 8, 8, 8), torch.randint(0, 2, (2, 1, 8, 8, 8))


def test_the_plan_runs_nothing_and_survives_json(task: Task) -> None:
    model = task.build()
    model.register_forward_pre_hook(lambda layer, args: pytest.fail("the network was run"))
    plan = plan_by_shape(model)
    assert plan.engine == "layers"
    assert plan_from(json.loads(json.dumps(plan.as_dict()))) == plan
    assert isinstance(make_engine(plan, model, task.loss, nullcontext), LayersEngine)


def test_the_trace_names_every_layer_with_a_weight(task: Task) -> None:
    model = task.build()
    convolutions = {
        name
        for name, one in model.named_modules()
        if isinstance(one, nn.Conv3d | nn.ConvTranspose3d)
    }
    assert trace(model, batch()[0][:1]).keys() == convolutions


def test_the_default_ways_of_known_shapes() -> None:
    model = nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1),
        nn.Conv3d(4, 64, 16, stride=16),
        nn.Flatten(),
        nn.Linear(64, 5),
    )
    found = trace(model, torch.zeros(1, 1, 16, 16, 16))
    ways = {name: default_way(one.kernel, one.small[1:]) for name, one in found.items()}
    assert ways == {"0": "halves", "1": "ghost", "3": "ghost"}


def test_tracing_draws_no_dropout_and_leaves_the_mode() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 3)).train()
    own_dropout(model)
    found = trace(model, torch.zeros(1, 3))
    assert model.training
    assert isinstance(model[0], Dropout)
    assert model[0]._calls == 0
    assert (found["1"].small, found["1"].large) == ((3,), (3,))


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, image: Tensor) -> Tensor:
        return image * self.scale


class Doubled(nn.Linear):
    def forward(self, image: Tensor) -> Tensor:
        return 2 * super().forward(image)


class Shift(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight - weight.mean()


def parametrized() -> nn.Module:
    layer = nn.Linear(3, 3)
    parametrize.register_parametrization(layer, "weight", Shift())
    return layer


@pytest.mark.parametrize("layer", [Scaled(), Doubled(3, 3), parametrized(), nn.Bilinear(3, 3, 3)])
def test_what_is_not_known_is_done_by_the_loop(layer: nn.Module) -> None:
    model = nn.Sequential(nn.Linear(3, 3), layer)
    plan = plan_by_shape(model)
    assert plan == Plan("loop")
    loss = nn.functional.mse_loss
    assert isinstance(make_engine(plan, model, loss, nullcontext), LoopEngine)
    with pytest.raises(InputError, match="cannot do layer 1"):
        make_engine(Plan("layers"), model, loss, nullcontext)


@pytest.mark.parametrize(
    "record, said",
    [
        ({"engine": "layer"}, "did you mean 'layers'"),
        ({"engine": "layers", "layers": {"0": "ghosts"}}, "did you mean 'ghost'"),
    ],
)
def test_a_plan_with_an_unknown_name_is_refused(record: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        plan_from(record)


def test_a_plan_for_another_network_is_refused() -> None:
    with pytest.raises(InputError, match="conv2 is no layer"):
        plan = Plan("layers", {"conv2": "ghost"})
        make_engine(plan, nn.Sequential(nn.Linear(3, 3)), nn.functional.mse_loss, nullcontext)


def test_a_measured_plan_is_a_plan_that_works(task: Task) -> None:
    model = task.build()
    images, labels = batch()
    plan = plan_by_timing(model, task.loss, nullcontext, images, labels)
    assert plan_from(plan.as_dict()) == plan
    assert set(plan.ways.values()) <= set(WAYS)
    engine = make_engine(plan, model, task.loss, nullcontext)
    require_equal(engine, LoopEngine(model, task.loss, nullcontext), model, images, labels)


class Wrong(LoopEngine):
    def clipped_sum(
        self, images: Tensor, labels: Tensor, owner: Tensor, patients: int, clip_norm: float
    ) -> ClippedSum:
        found = super().clipped_sum(images, labels, owner, patients, clip_norm)
        found.sums["model.0.conv.unit0.conv.weight"] *= 1.1
        return found


def test_engines_that_differ_are_caught(task: Task) -> None:
    model = task.build()
    one, other = (kind(model, task.loss, nullcontext) for kind in (Wrong, LoopEngine))
    with pytest.raises(FedvoxError, match=r"model\.0\.conv\.unit0\.conv\.weight differ"):
        require_equal(one, other, model, *batch())
