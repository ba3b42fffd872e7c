"""Noise on a sum: as much as was asked for, seen as it was, and handed on as gradients."""

import numpy as np
import pytest
import torch
from torch import nn

from fedvox.client.training.private.clipping import trainable
from fedvox.client.training.private.noise import BLOCK, Noise
from fedvox.client.training.private.noised import add_noise, as_gradients, in_one

KEY = bytes(range(32))
NUMBERS = 5 * BLOCK + 17
DRAWN = 4 * BLOCK


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def a_sum() -> torch.Tensor:
    return torch.randn(NUMBERS, generator=torch.Generator().manual_seed(1))


def test_what_is_added_is_the_noise_as_it_is_drawn() -> None:
    before, after, noise = a_sum(), a_sum(), Noise(KEY)
    seen = add_noise(after, noise, 0.3)
    again = Noise(KEY)
    drawn = [again.gaussian(len(part)) for part in before.split(DRAWN)]
    wanted = before.double() + 0.3 * torch.cat(drawn)
    torch.testing.assert_close(after, wanted.float(), rtol=1.2e-7, atol=1e-9)
    assert seen.clean_norm == pytest.approx(np.linalg.norm(before.double().numpy()), rel=1e-5)
    moved = (after.double() - before.double()).numpy()
    assert seen.noise_norm == pytest.approx(np.linalg.norm(moved), rel=1e-5)
    assert seen.noise_norm == pytest.approx(0.3 * np.sqrt(NUMBERS), rel=0.02)
    assert not torch.equal(again.gaussian(3), Noise(KEY).gaussian(3)), "drawn twice"


def test_without_noise_the_sum_stays_and_none_is_seen() -> None:
    summed = a_sum()
    seen = add_noise(summed, Noise(KEY), 0.0)
    assert torch.equal(summed, a_sum())
    assert seen.noise_norm == 0.0


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_not_finite_is_seen(wrong: float) -> None:
    summed = a_sum()
    summed[BLOCK + 1] = wrong
    assert not np.isfinite(add_noise(summed, Noise(KEY), 1.0).clean_norm)


def test_every_parameter_gets_its_own_part_in_its_own_layout() -> None:
    model = nn.Sequential(nn.Conv3d(2, 3, 3), nn.Linear(4, 5))
    model.to(memory_format=torch.channels_last_3d)
    weights = trainable(model)
    sums = {name: torch.randn(weight.shape) for name, weight in reversed(weights.items())}
    summed = in_one(sums, weights)
    as_gradients(weights, summed, 8.0)
    for name, weight in weights.items():
        assert weight.grad is not None
        torch.testing.assert_close(weight.grad, sums[name] / 8.0, rtol=0.0, atol=0.0)
        assert weight.grad.stride() == weight.stride()
