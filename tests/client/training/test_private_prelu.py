"""PReLU's own backward pass against torch's, sample by sample, and what it keeps for it."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from fedvox.client.training.private.prelu import prelu

SLOPES = [0.25, 3.0, 2.0**-6, 1e-5, 0.0, -0.5]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def passed(slope: float, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The result with image and slopes before it."""
    image = image.clone().requires_grad_()
    slopes = torch.full((len(image),), slope, requires_grad=True)
    return prelu(image, torch.tensor([slope]), slopes), image, slopes


def by_torch(slope: float, image: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of the image and of one slope."""
    image, one = image.clone().requires_grad_(), torch.tensor([slope], requires_grad=True)
    found = torch.autograd.grad(functional.prelu(image, one), (image, one), gradient)
    return found[0], found[1]


@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_gradients_are_torchs_sample_by_sample(slope: float, layout: torch.memory_format) -> None:
    image = torch.randn(3, 4, 5, 6, 7)
    image[0, 0, 0] = 0.0
    gradient = torch.randn_like(image)
    result, image_in, slopes = passed(slope, image.contiguous(memory_format=layout))
    torch.testing.assert_close(result, functional.prelu(image, torch.tensor([slope])))
    result.backward(gradient)
    for sample in range(3):
        here = slice(sample, sample + 1)
        of_image, of_slope = by_torch(slope, image[here], gradient[here])
        torch.testing.assert_close(image_in.grad[here], of_image)  # type: ignore[index]
        torch.testing.assert_close(slopes.grad[here], of_slope, rtol=1e-4, atol=1e-4)  # type: ignore[index]


@pytest.mark.parametrize("slope", SLOPES)
def test_of_image_and_result_it_keeps_what_the_layer_behind_keeps(slope: float) -> None:
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result, image, _ = passed(slope, torch.randn(2, 3, 4, 4, 4))
    assert (result.data_ptr() in kept) == (slope >= 2.0**-6)
    assert (image.data_ptr() in kept) == (slope < 2.0**-6)


def test_a_result_that_was_overwritten_is_noticed() -> None:
    result, _, _ = passed(0.25, torch.randn(2, 3, 4, 4, 4))
    doubled = result.mul_(2.0)
    with pytest.raises(RuntimeError, match="inplace"):
        doubled.sum().backward()  # type: ignore[no-untyped-call]


def test_what_is_not_a_number_stays_visible() -> None:
    image = torch.randn(2, 3, 4, 4, 4)
    image[1, 0, 0, 0, 0] = torch.nan
    result, _, slopes = passed(0.25, image)
    result.sum().backward()  # type: ignore[no-untyped-call]
    assert slopes.grad is not None
    assert slopes.grad[0].isfinite() and slopes.grad[1].isnan()
