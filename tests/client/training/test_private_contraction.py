"""Every way to a layer's gradients against autograd, one patient after the other."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fedvox.client.training.private.clipping import ClippedSum
from fedvox.client.training.private.contraction import WAYS, Kernel, Maps, Way, share_of
from fedvox.client.training.private.layered import LayersEngine
from fedvox.client.training.private.owners import owners_of

OWNER = torch.tensor([1, 0, 2, 1, 1])
"""One, three and one samples, not in order."""
CLIP = 0.7


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "conv3d": (lambda: nn.Conv3d(3, 4, 3, padding=1), (3, 4, 5, 6)),
    "conv3d strided": (lambda: nn.Conv3d(3, 4, 3, stride=2, padding=1), (3, 6, 5, 8)),
    "conv3d dilated": (lambda: nn.Conv3d(2, 3, 3, padding=2, dilation=2), (2, 5, 6, 5)),
    "conv3d grouped": (lambda: nn.Conv3d(4, 6, 3, padding=1, groups=2), (4, 4, 3, 4)),
    "conv3d uneven": (lambda: nn.Conv3d(2, 3, (3, 1, 2), (1, 2, 1), (1, 0, 0)), (2, 4, 6, 5)),
    "conv3d without bias": (lambda: nn.Conv3d(2, 3, 3, bias=False), (2, 4, 4, 4)),
    "conv3d 1x1": (lambda: nn.Conv3d(3, 5, 1), (3, 2, 3, 2)),
    "conv3d below its kernel": (lambda: nn.Conv3d(3, 4, 5, padding=2), (3, 2, 2, 2)),
    "conv2d": (lambda: nn.Conv2d(3, 4, 3, padding=1), (3, 6, 5)),
    "conv2d strided": (lambda: nn.Conv2d(3, 4, 7, stride=2, padding=3), (3, 12, 10)),
    "transposed 3d": (lambda: nn.ConvTranspose3d(4, 3, 3, 2, 1, 1), (4, 3, 2, 4)),
    "transposed 3d grouped": (lambda: nn.ConvTranspose3d(4, 6, 2, 2, groups=2), (4, 3, 2, 2)),
    "transposed 2d dilated": (lambda: nn.ConvTranspose2d(3, 2, 3, 2, 1, dilation=2), (3, 5, 4)),
    "linear": (lambda: nn.Linear(7, 5), (7,)),
    "linear of rows": (lambda: nn.Linear(4, 3), (2, 3, 4)),
    "instance norm 3d": (lambda: nn.InstanceNorm3d(3, affine=True), (3, 3, 4, 2)),
    "instance norm 2d": (lambda: nn.InstanceNorm2d(3, affine=True), (3, 3, 4)),
    "group norm": (lambda: nn.GroupNorm(2, 6), (6, 3, 3, 2)),
    "layer norm": (lambda: nn.LayerNorm((4, 3)), (2, 4, 3)),
    "layer norm without bias": (lambda: nn.LayerNorm(4, bias=False), (2, 3, 4)),
    "prelu": (lambda: nn.PReLU(), (3, 4, 4, 2)),
    "prelu for each channel": (lambda: nn.PReLU(3), (3, 4, 4)),
}


def loss(output: Tensor, target: Tensor) -> Tensor:
    return ((output.flatten(1) - target).square().mean(1) * 3).mean()


def brute_force(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[dict[str, Tensor], list]:
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    norms = []
    for patient in range(int(OWNER.max()) + 1):
        own = [n for n in range(len(OWNER)) if OWNER[n] == patient]
        each = [loss(model(images[n : n + 1]), labels[n : n + 1]) for n in own]
        gradients = torch.autograd.grad(sum(each) / len(own), list(weights.values()))
        norm = sum(float(one.double().square().sum()) for one in gradients) ** 0.5
        for name, gradient in zip(weights, gradients, strict=True):
            sums[name] += gradient * min(1.0, CLIP / norm)
        norms.append(norm)
    return sums, norms


def require_same(found: ClippedSum, expected: tuple[dict[str, Tensor], list[float]]) -> None:
    sums, norms = expected
    scale = max(float(one.abs().max()) for one in sums.values())
    assert found.sums.keys() == sums.keys()
    for name, one in sums.items():
        assert found.sums[name].dtype == torch.float32
        torch.testing.assert_close(found.sums[name], one, rtol=1e-4, atol=1e-5 * scale)
    torch.testing.assert_close(found.norms, torch.tensor(norms), rtol=1e-4, atol=0.0)


def shaken(model: nn.Module) -> nn.Module:
    """Away from weights of one and zero, at which errors would not show."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.3)
    return model


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_equals_brute_force_in_every_way(kind: str, channels_last: bool) -> None:
    make, shape = LAYERS[kind]
    model = shaken(nn.Sequential(make()))
    images = torch.randn(len(OWNER), *shape)
    if channels_last and len(shape) > 2:
        dense = torch.channels_last if len(shape) == 3 else torch.channels_last_3d
        model, images = model.to(memory_format=dense), images.to(memory_format=dense)
    labels = torch.randn(len(OWNER), model(images).flatten(1).shape[1])
    expected = brute_force(model, images, labels)
    for way in WAYS if isinstance(model[0], nn.Conv3d | nn.Linear | nn.ConvTranspose2d) or (
        isinstance(model[0], nn.Conv2d | nn.ConvTranspose3d)
    ) else WAYS[:1]:
        engine = LayersEngine(model, loss, torch.no_grad if False else _full, {"0": way})
        require_same(engine.clipped_sum(images, labels, OWNER, 3, CLIP), expected)
