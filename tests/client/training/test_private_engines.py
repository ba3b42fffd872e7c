"""All engines against one patient after the other, on the networks and losses of the product."""

import math
from contextlib import nullcontext

import pytest
import torch
from patients import (
    CLASSIFICATION,
    CLIP,
    ENGINES,
    OWNER,
    SEGMENTATION,
    Case,
    Engine,
    product,
    require_same,
    small,
)
from torch import Tensor, nn

from fedvox.client.training.private.layered import LayersEngine
from fedvox.client.training.private.plain import LoopEngine, VmapEngine
from fedvox.client.training.private.plan import plan_by_shape


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.mark.parametrize("norm", ["instance", "group"])
@pytest.mark.parametrize(
    "name, dims",
    [
        *((name, 3) for name in SEGMENTATION),
        ("unet", 2),
        ("resnet18", 3),
        *((name, 2) for name in CLASSIFICATION),
    ],
)
def test_the_layers_engine_equals_brute_force_on_every_network(
    name: str, dims: int, norm: str
) -> None:
    case = product(name, norm, dims)
    if name in ("resnet50", "seresnet50"):
        # Their gradients are so large here that float32 itself is not sure of them.
        case = Case(case.model.double(), case.loss, case.images.double(), case.labels)
    require_same(case.by(LayersEngine), case.by_brute_force())


@pytest.mark.parametrize("name, dims", [("unet", 3), ("resnet18", 2)])
def test_standardised_weights_are_done_layer_by_layer(name: str, dims: int) -> None:
    case = product(name, "group", dims, "model.standardise=true")
    assert plan_by_shape(case.model).engine == "layers"
    require_same(case.by(LayersEngine), case.by_brute_force())


@pytest.mark.parametrize("engine", [LoopEngine, VmapEngine])
@pytest.mark.parametrize(
    "name, norm", [("unet", "instance"), ("dynunet", "group"), ("resnet18", "group")]
)
def test_the_other_engines_do_as_well(name: str, norm: str, engine: Engine) -> None:
    case = product(name, norm)
    require_same(case.by(engine), case.by_brute_force())


class Twice(nn.Module):
    """One layer used at two depths, and a weight that two layers share."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 5)
        self.act = nn.PReLU()
        self.norm = nn.LayerNorm(5)
        self.tied = nn.Linear(5, 5)
        self.tied.weight = self.first.weight
        self.idle = nn.Linear(3, 3)

    def forward(self, image: Tensor) -> Tensor:
        once = self.act(self.norm(self.first(image)))
        return self.tied(self.act(self.norm(self.first(once))))


@pytest.mark.parametrize("engine", ENGINES)
def test_shared_parameters_are_clipped_with_all_their_uses(engine: Engine) -> None:
    case = small(Twice(), 5)
    found = case.by(engine)
    require_same(found, case.by_brute_force())
    assert not found.sums["idle.weight"].any(), "what the loss does not depend on stays still"


@pytest.mark.parametrize("engine", ENGINES)
def test_frozen_layers_have_no_sum(engine: Engine) -> None:
    case = product("unet", "instance")
    frozen = [name for name, _ in case.model.named_parameters()][:-6]
    for name in frozen:
        case.model.get_parameter(name).requires_grad_(False)
    found = case.by(engine)
    assert len(found.sums) == 6
    require_same(found, case.by_brute_force())
    assert all(not case.model.get_parameter(name).requires_grad for name in frozen)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_empty_draw_is_a_sum_of_zeros(engine: Engine) -> None:
    case = small(nn.Linear(3, 1), 3)
    nobody = torch.zeros(0, dtype=torch.int64)
    found = engine(case.model, case.loss, nullcontext).clipped_sum(
        case.images[:0], case.labels[:0], nobody, 0, CLIP
    )
    assert found.sums.keys() == {"weight", "bias"}
    assert not any(one.any() for one in found.sums.values())
    assert found.norms.shape == found.losses.shape == (0,)
    assert found.bad == 0


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30])
def test_a_patient_without_finite_gradient_adds_nothing_and_is_counted(
    engine: Engine, value: float
) -> None:
    case = product("unet", "instance")
    case.images[2] = value  # the only sample of patient 1
    found = case.by(engine)
    others = OWNER != 1
    rest = Case(case.model, case.loss, case.images[others], case.labels[others])
    expected, _ = rest.by_brute_force(OWNER[others].clamp(max=1))
    assert found.bad == (0 if found.norms[1].isfinite() else 1)
    if found.bad:
        scale = max(float(one.abs().max()) for one in expected.values())
        for name, one in expected.items():
            torch.testing.assert_close(found.sums[name], one, rtol=0.0, atol=1e-4 * scale)
    else:
        assert all(bool(one.isfinite().all()) for one in found.sums.values())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_patient_with_ten_scans_moves_the_sum_no_further_than_the_clipping_norm(
    engine: Engine,
) -> None:
    case = small(nn.Sequential(nn.Linear(4, 4), nn.PReLU(), nn.Linear(4, 1)), 4)
    case.images, case.labels = torch.randn(12, 4) * 1e3, torch.randn(12)
    with_patient = case.by(engine, torch.tensor([0, 1] + [2] * 10), 0.1)
    case.images, case.labels = case.images[:2], case.labels[:2]
    without = case.by(engine, torch.tensor([0, 1]), 0.1)
    moved = [with_patient.sums[name] - one for name, one in without.sums.items()]
    distance = math.sqrt(sum(float(one.double().square().sum()) for one in moved))
    assert distance == pytest.approx(0.1, rel=1e-3)
    assert float(with_patient.norms[2]) > 1.0


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e15])
def test_gradients_of_zero_and_huge_ones_are_scaled_as_they_should_be(
    engine: Engine, scale: float
) -> None:
    model = nn.Linear(3, 1, bias=False)
    images = torch.eye(3)
    case = Case(model, lambda out, target: (out * target).mean(), images, torch.ones(3, 1) * scale)
    found = case.by(engine, torch.arange(3), 0.25)
    assert found.sums["weight"][0].tolist() == pytest.approx([min(scale, 0.25)] * 3)


@pytest.mark.parametrize("engine", ENGINES)
def test_losses_are_means_over_a_patient(engine: Engine) -> None:
    case = small(nn.Linear(2, 1), 2)
    with torch.no_grad():
        each = [
            float(case.loss(case.model(case.images[n : n + 1]), case.labels[n : n + 1]))
            for n in range(6)
        ]
    expected = [(each[0] + each[3]) / 2, each[2], (each[1] + each[4] + each[5]) / 3]
    assert case.by(engine).losses.tolist() == pytest.approx(expected)
