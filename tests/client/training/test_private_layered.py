"""The layers engine leaves the model as it was, refuses what it cannot follow, and does bf16."""

import weakref
from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from patients import CLIP, product, small
from torch import Tensor, nn
from torch.nn import functional

from fedvox.client.training.private.layered import LayersEngine
from fedvox.client.training.small_maps import shelter_small_maps
from fedvox.common.errors import FedvoxError


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def test_the_model_is_left_as_it_was() -> None:
    case = product("unet", "instance")
    shelter_small_maps(case.model)
    before = {name: dict(one.__dict__) for name, one in case.model.named_modules()}
    case.by(LayersEngine)
    for name, module in case.model.named_modules():
        assert module.__dict__.get("forward") is before[name].get("forward")
        assert not module._forward_hooks
    assert all(one.requires_grad and one.grad is None for one in case.model.parameters())


def test_the_model_is_left_as_it_was_after_an_error() -> None:
    case = small(nn.Sequential(nn.Linear(3, 3), nn.PReLU(), nn.Linear(2, 1)), 3)
    with pytest.raises(RuntimeError):
        case.by(LayersEngine)
    assert all(one.requires_grad for one in case.model.parameters())
    assert not any(one._forward_hooks or "forward" in one.__dict__ for one in case.model.modules())


def test_when_the_backward_pass_comes_output_and_loss_are_gone() -> None:
    """They are as large as the image, and nothing asks for them again."""
    case = small(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1)), 3)
    gone: list[bool] = []
    alive: list[weakref.ref[Tensor]] = []

    def loss(output: Tensor, labels: Tensor) -> Tensor:
        squares = (output - labels).square()
        alive.append(weakref.ref(squares))
        return squares.mean()

    def forward_passed(layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        alive.append(weakref.ref(output))

    def came_back(gradient: Tensor) -> None:
        gone.extend(one() is None for one in alive)

    case.model[1].register_forward_hook(forward_passed)
    case.model[0].register_forward_hook(lambda layer, args, out: listen(out, came_back))
    engine = LayersEngine(case.model, loss, nullcontext)
    engine.clipped_sum(case.images, case.labels, torch.arange(6), 6, CLIP)
    assert gone == [True] * 7


def listen(output: Tensor, hook: Callable[[Tensor], None]) -> Tensor:
    """The output with a hook for its gradient."""
    passed_on = output.clone() if output.requires_grad else output.clone().requires_grad_()
    passed_on.register_hook(hook)  # type: ignore[no-untyped-call]
    return passed_on


class Overwriting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 1)

    def forward(self, image: Tensor) -> Tensor:
        hidden = self.first(image)
        out: Tensor = self.second(hidden)
        hidden.mul_(2.0)
        return out


class Merging(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.layer(image.reshape(-1, 2, 3).sum(1))
        return out.repeat_interleave(2, 0)


@pytest.mark.parametrize(
    "model, said", [(Overwriting(), "overwritten"), (Merging(), "sees 3 samples")]
)
def test_what_the_tape_cannot_follow_is_refused(model: nn.Module, said: str) -> None:
    with pytest.raises(FedvoxError, match=said):
        small(model, 3).by(LayersEngine)


def test_in_bfloat16_the_sum_is_near_and_clipped_by_its_own_norms() -> None:
    case = product("unet", "instance", 3)
    shelter_small_maps(case.model)
    expected, norms = case.by_brute_force(torch.arange(6))
    engine = LayersEngine(case.model, case.loss, lambda: torch.autocast("cpu", torch.bfloat16))
    found = engine.clipped_sum(case.images, case.labels, torch.arange(6), 6, CLIP)
    torch.testing.assert_close(found.norms, torch.tensor(norms), rtol=0.05, atol=0.0)
    one, two = (
        torch.cat([part.flatten() for part in sums.values()]) for sums in (found.sums, expected)
    )
    assert float(functional.cosine_similarity(one, two, 0)) > 0.99
    alone = engine.clipped_sum(case.images[:1], case.labels[:1], torch.tensor([0]), 1, 1e-3)
    total = torch.cat([part.flatten() for part in alone.sums.values()])
    assert float(total.norm()) == pytest.approx(1e-3, rel=1e-4)
