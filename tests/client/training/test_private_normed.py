"""The instance norm's own backward pass against torch's, from its input and from its result."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from fedvox.client.training.private.normed import instance_norm, kept_for
from fedvox.client.training.private.prelu import prelu

SAMPLES, CHANNELS, EPS = 3, 4, 1e-5
SLOPES = [0.25, 0.31, 3.0, 1e-5]
NONE = 0.0
"""No PReLU behind the norm."""
LAYOUTS = [torch.contiguous_format, torch.channels_last_3d]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def copies(values: list[float]) -> Tensor:
    return torch.tensor(values).repeat(SAMPLES)


def passed(
    image: Tensor, weight: Tensor, bias: Tensor, slope: float, ours: bool
) -> tuple[Tensor, list[Tensor]]:
    """The result with what it was made of; by torch sample by sample."""
    inputs = [one.clone().requires_grad_() for one in (image, weight, bias)]
    if ours:
        normed = instance_norm(*inputs, EPS)
        bend = torch.tensor([slope])
        slopes = torch.full((SAMPLES,), slope, requires_grad=True)
        return (prelu(normed, bend, slopes) if slope else normed), inputs
    each = [
        functional.instance_norm(inputs[0][n : n + 1], None, None, own, shift, True, 0.0, EPS)
        for n, (own, shift) in enumerate(
            zip(inputs[1].split(CHANNELS), inputs[2].split(CHANNELS), strict=True)
        )
    ]
    normed = torch.cat(each)
    return (functional.prelu(normed, torch.tensor([slope])) if slope else normed), inputs


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("slope", [NONE, *SLOPES])
@pytest.mark.parametrize(
    "weight, bias",
    [
        ([1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]),
        ([0.1, -2.0, 3.0, 1e-3], [0.5, -3.0, 0.0, 1e-2]),
        ([0.0, 1.0, 1e-9, -1.0], [0.0, 30.0, 1.0, 0.1]),
    ],
)
def test_gradients_are_torchs_sample_by_sample(
    weight: list[float], bias: list[float], slope: float, layout: torch.memory_format
) -> None:
    image = (5 + 3 * torch.randn(SAMPLES, CHANNELS, 5, 6, 7)).contiguous(memory_format=layout)
    made = [passed(image, copies(weight), copies(bias), slope, ours) for ours in (True, False)]
    torch.testing.assert_close(made[0][0], made[1][0])
    gradient = torch.randn_like(made[0][0])
    found, wanted = (torch.autograd.grad(result, inputs, gradient) for result, inputs in made)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


@pytest.mark.parametrize(
    "weight, bias, slope, instead",
    [
        (1.0, 0.0, 0.25, True),
        (-0.5, 7.0, 3.0, True),
        (1.0, 0.0, 1e-5, False),
        (0.5, 9.0, 0.25, False),
        (1e-9, 0.0, 0.25, False),
        (float("nan"), 0.0, 0.25, False),
        (1.0, float("inf"), 0.25, False),
    ],
)
def test_the_input_is_let_go_where_the_result_tells_it(
    weight: float, bias: float, slope: float, instead: bool
) -> None:
    own, shift = (torch.full((SAMPLES * CHANNELS,), one) for one in (weight, bias))
    image = torch.randn(SAMPLES, CHANNELS, 5, 5, 5, requires_grad=True)
    normed = instance_norm(image, own, shift, EPS)
    kept = kept_for(normed)
    assert kept is not None
    assert kept.image.data_ptr() == image.data_ptr()
    result = prelu(normed, torch.tensor([slope]), torch.full((SAMPLES,), slope))
    assert kept.image.data_ptr() == (result if instead else image).data_ptr()


def test_who_kept_the_result_finds_it_overwritten() -> None:
    image = torch.randn(SAMPLES, CHANNELS, 5, 5, 5)
    result, _ = passed(image, copies([1.0] * 4), copies([0.0] * 4), 0.25, True)
    other = torch.ones_like(result, requires_grad=True)
    late = result.detach() * other  # its backward pass would want the result
    result.sum().backward()  # type: ignore[no-untyped-call]
    with pytest.raises(RuntimeError, match="inplace"):
        late.sum().backward()  # type: ignore[no-untyped-call]


def test_only_what_comes_straight_from_a_norm_is_known() -> None:
    image = torch.randn(SAMPLES, CHANNELS, 5, 5, 5, requires_grad=True)
    normed = instance_norm(image, copies([1.0] * 4), copies([0.0] * 4), EPS)
    assert kept_for(image) is None and kept_for(2 * normed) is None


def test_what_is_not_a_number_stays_with_its_sample() -> None:
    image = torch.randn(SAMPLES, CHANNELS, 5, 5, 5)
    image[1, 0, 0, 0, 0] = torch.nan
    result, inputs = passed(image, copies([1.0] * 4), copies([0.0] * 4), 0.25, True)
    (found,) = torch.autograd.grad(result.square().sum(), inputs[:1])
    assert found[1].isnan().any()
    assert found[0].isfinite().all() and found[2].isfinite().all()
