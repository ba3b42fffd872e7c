"""Every way to a layer's gradients against autograd, one patient after the other."""

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from fedvox.client.training.private.clipping import ClippedSum
from fedvox.client.training.private.contraction import (
    WAYS,
    Kernel,
    Maps,
    Way,
    default_way,
    share_of,
)
from fedvox.client.training.private.layered import LayersEngine
from fedvox.client.training.private.owners import owners_of
from fedvox.common.errors import FedvoxError
from fedvox.common.tasks.standardise import standardise

OWNER = torch.tensor([1, 0, 2, 1, 1])
"""One, three and one samples, not in order."""
CLIP = 0.7


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def standardised(layer: nn.Module) -> nn.Module:
    standardise(layer)
    return layer


Layers = dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]]
"""How a layer is made, and the shape of a sample."""

CONTRACTED: Layers = {
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
    "standardised 3d": (lambda: standardised(nn.Conv3d(3, 4, 3, padding=1)), (3, 4, 3, 4)),
    "standardised 2d grouped": (
        lambda: standardised(nn.Conv2d(4, 6, 3, 2, 1, groups=2)),
        (4, 5, 6),
    ),
    "linear": (lambda: nn.Linear(7, 5), (7,)),
    "linear of rows": (lambda: nn.Linear(4, 3), (2, 3, 4)),
}
EXPANDED: Layers = {
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


def brute_force(
    model: nn.Module, images: Tensor, labels: Tensor
) -> tuple[dict[str, Tensor], list[float]]:
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    norms = []
    # Asked for as well, since torch crashes in a group norm, channels last, that does not need it.
    images = images.clone().requires_grad_()
    for patient in range(int(OWNER.max()) + 1):
        own = [n for n in range(len(OWNER)) if OWNER[n] == patient]
        each = [loss(model(images[n : n + 1]), labels[n : n + 1]) for n in own]
        *gradients, _ = torch.autograd.grad(sum(each) / len(own), [*weights.values(), images])
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


def dense(tensor: Tensor) -> Tensor:
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    return tensor.to(memory_format=layouts.get(tensor.ndim, torch.contiguous_format))


def case(kind: str, channels_last: bool) -> tuple[nn.Module, Tensor, Tensor]:
    make, shape = {**CONTRACTED, **EXPANDED}[kind]
    model, images = shaken(nn.Sequential(make())), torch.randn(len(OWNER), *shape)
    if channels_last:
        images = dense(images)
        for weight in model.parameters():
            weight.data = dense(weight.data)
    return model, images, torch.randn(len(OWNER), model(images).flatten(1).shape[1])


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", CONTRACTED)
def test_a_weight_equals_brute_force_in_every_way(kind: str, way: Way, channels_last: bool) -> None:
    model, images, labels = case(kind, channels_last)
    engine = LayersEngine(model, loss, nullcontext, {"0": way})
    found = engine.clipped_sum(images, labels, OWNER, 3, CLIP)
    require_same(found, brute_force(model, images, labels))


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("kind", EXPANDED)
def test_a_norm_or_activation_equals_brute_force(kind: str, channels_last: bool) -> None:
    model, images, labels = case(kind, channels_last)
    found = LayersEngine(model, loss, nullcontext).clipped_sum(images, labels, OWNER, 3, CLIP)
    require_same(found, brute_force(model, images, labels))


@pytest.mark.parametrize("way", WAYS)
def test_shares_by_hand(way: Way) -> None:
    """A kernel of one voxel, two patients, one voxel each: the gradient is a product."""
    small = torch.tensor([[1.0, 2.0], [0.0, 3.0]]).view(2, 2, 1, 1, 1)
    large = torch.tensor([[3.0, 4.0], [1.0, 0.0]]).view(2, 2, 1, 1, 1)
    kernel = Kernel((2, 2, 1, 1, 1), (1, 1, 1), (0, 0, 0), (1, 1, 1))
    share = share_of(Maps(small, large, 2), kernel, way)
    assert share.squares().tolist() == pytest.approx([5 * 25, 9.0])
    added = share.weighted(torch.tensor([1.0, 2.0]), None).view(2, 2)
    assert added.tolist() == [[3.0, 4.0], [12.0, 8.0]]
    kept = share.weighted(torch.tensor([1.0, 2.0]), torch.tensor([False, True])).view(2, 2)
    assert kept.tolist() == [[0.0, 0.0], [6.0, 0.0]]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("edges", [(2, 2, 2), (6, 6, 6), (5, 4, 7)])
@pytest.mark.parametrize("groups", [1, 2])
def test_bfloat16_maps_are_contracted_as_their_float32_copies(
    way: Way, edges: tuple[int, ...], groups: int
) -> None:
    """oneDNN's bfloat16 gradient of a weight is wrong where a map is below its kernel."""
    kernel = Kernel((4, 6 // groups, 3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1), groups)
    small, large = (torch.randn(3, channels, *edges).bfloat16() for channels in (4, 6))
    exact = share_of(Maps(small.float(), large.float(), 3), kernel, "grouped")
    found = share_of(Maps(small, large, 3), kernel, way)
    torch.testing.assert_close(found.squares(), exact.squares(), rtol=2e-2, atol=0.0)
    one = torch.ones(3)
    scale = float(exact.weighted(one, None).abs().max())
    close = {"rtol": 2e-2, "atol": 2e-2 * scale}
    torch.testing.assert_close(found.weighted(one, None), exact.weighted(one, None), **close)


def test_deep_layers_go_by_ghost_norm_and_shallow_ones_grouped() -> None:
    def way(channels: tuple[int, int], edge: int) -> str:
        kernel = Kernel((*channels, 3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1))
        return default_way(kernel, (edge, edge, edge))

    assert way((256, 256), 2) == way((128, 64), 2) == "ghost"
    assert way((16, 16), 16) == way((64, 64), 4) == way((256, 256), 6) == "grouped"
    assert way((2, 2), 32) == "halves"
    assert way((16, 1), 16) == "each"


def test_owners_are_brought_in_order_and_padded() -> None:
    owners = owners_of(OWNER, 3)
    samples = torch.arange(5.0)
    assert owners.sorted(samples).tolist() == [1.0, 0.0, 3.0, 4.0, 2.0]
    assert owners.padded(owners.sorted(samples) + 1).tolist() == [2, 0, 0, 1, 4, 5, 3, 0, 0]
    assert owners.totals(owners.sorted(samples)).tolist() == [1.0, 7.0, 2.0]
    assert owners.shares.tolist() == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3, 1])


@pytest.mark.parametrize(
    "owner, said",
    [
        (torch.tensor([0, 2]), "patient 1 has no sample"),
        (torch.tensor([0, 3]), "0 to 2"),
        (torch.tensor([-1, 0]), "0 to 2"),
        (torch.tensor([], dtype=torch.int64), "0 to 2"),
        (torch.tensor([0.0, 1.0]), "int64"),
    ],
)
def test_owners_that_name_no_patient_are_refused(owner: Tensor, said: str) -> None:
    with pytest.raises(FedvoxError, match=said):
        owners_of(owner, 3)
