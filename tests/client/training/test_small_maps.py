"""Where a map is smaller than the kernel, the convolution's gradient is float32's, to the bit."""

import pytest
import torch
from torch import Tensor, nn

from fedvox.client.training.small_maps import shelter_small_maps


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def gradient(layer: nn.Module, image: Tensor, *, autocast: bool) -> Tensor:
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        out = layer(image)
    out.float().square().sum().backward()
    grad = next(layer.parameters()).grad
    assert grad is not None
    return grad.clone()


@pytest.mark.parametrize("edges", [(2, 2, 2), (2, 2, 4), (1, 1, 1), (8, 2, 8)])
def test_small_maps_are_convolved_in_float32(edges: tuple[int, ...]) -> None:
    layer = nn.Conv3d(4, 4, 3, padding=1, bias=False)
    image = torch.randn(2, 4, *edges)
    exact = gradient(layer, image, autocast=False)
    shelter_small_maps(layer)
    assert torch.equal(gradient(layer, image, autocast=True), exact)


def test_a_bfloat16_map_is_taken_too() -> None:
    layer = nn.Conv2d(4, 4, 7, padding=3)
    shelter_small_maps(layer)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(1, 4, 6, 8).bfloat16()).dtype == torch.float32


def test_large_maps_stay_in_bfloat16() -> None:
    model = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(4, 4, 1))
    shelter_small_maps(model)
    with torch.autocast("cpu", torch.bfloat16):
        assert model(torch.randn(1, 1, 3, 4, 5)).dtype == torch.bfloat16
