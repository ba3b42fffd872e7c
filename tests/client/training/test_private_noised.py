"""Noise on a sum: as much as was asked for, seen as it was, and handed on as gradients."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from fedvox.client.training.private.clipping import trainable
from fedvox.client.training.private.noise import Noise
from fedvox.client.training.private.noised import (
    PART,
    add_sums,
    as_gradients,
    in_one,
    noisy_mean,
)

KEY = bytes(range(32))
NUMBERS = 2 * PART + 17


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def a_sum() -> Tensor:
    return torch.randn(NUMBERS, generator=torch.Generator().manual_seed(1))


def test_what_is_added_is_the_noise_as_it_is_drawn() -> None:
    before, after, noise = a_sum(), a_sum(), Noise(KEY)
    seen = noisy_mean(after, noise, 0.3, 7.0)
    again = Noise(KEY)
    drawn = [again.branch().gaussian(len(part)) for part in before.split(PART)]
    wanted = before.double() + 0.3 * torch.cat(drawn)
    torch.testing.assert_close(after, (wanted / 7.0).float(), rtol=2.4e-7, atol=1e-9)
    assert seen.clean_norm == pytest.approx(np.linalg.norm(before.double().numpy()), rel=1e-5)
    moved = wanted.float().double().numpy() - before.double().numpy()
    assert seen.noise_norm == pytest.approx(np.linalg.norm(moved), rel=1e-5)
    assert seen.noise_norm == pytest.approx(0.3 * np.sqrt(NUMBERS), rel=0.02)
    torch.testing.assert_close(noise.gaussian(3), again.gaussian(3), rtol=0, atol=0)


def test_the_noise_is_normal_within_each_part_and_across_them() -> None:
    added = torch.zeros(NUMBERS)
    noisy_mean(added, Noise(KEY), 2.0, 4.0)
    numbers = 2.0 * added.double().numpy()
    for part in (numbers[:PART], numbers[PART : 2 * PART], numbers):
        assert stats.kstest(part, "norm").pvalue > 0.001
        deviation = np.sqrt(2 / len(part))
        assert abs(np.mean(part**2) - 1) < 5 * deviation
    together = np.corrcoef(numbers[:PART], numbers[PART : 2 * PART])[0, 1]
    assert abs(together) < 5 / np.sqrt(PART)


def test_two_steps_never_share_noise() -> None:
    noise, one, two = Noise(KEY), torch.zeros(NUMBERS), torch.zeros(NUMBERS)
    noisy_mean(one, noise, 1.0, 1.0)
    noisy_mean(two, noise, 1.0, 1.0)
    assert abs(np.corrcoef(one.numpy(), two.numpy())[0, 1]) < 5 / np.sqrt(NUMBERS)


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_the_bits_are_the_same_for_any_number_of_threads(threads: int) -> None:
    alone, together = a_sum(), a_sum()
    seen = [noisy_mean(alone, Noise(KEY), 0.3, 7.0)]
    torch.set_num_threads(threads)
    seen.append(noisy_mean(together, Noise(KEY), 0.3, 7.0))
    assert torch.equal(alone, together)
    assert seen[0] == seen[1]


def test_one_thread_starts_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A site that shares its cores with others keeps to its own."""
    monkeypatch.setattr("threading.Thread.start", lambda self: pytest.fail("a thread was started"))
    noisy_mean(a_sum(), Noise(KEY), 1.0, 1.0)


def test_without_noise_the_sum_stays_and_none_is_seen() -> None:
    summed = a_sum()
    seen = noisy_mean(summed, Noise(KEY), 0.0, 1.0)
    assert torch.equal(summed, a_sum())
    assert seen.noise_norm == 0.0


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_not_finite_is_seen(wrong: float) -> None:
    summed = a_sum()
    summed[PART + 1] = wrong
    assert not np.isfinite(noisy_mean(summed, Noise(KEY), 1.0, 1.0).clean_norm)


def layers() -> tuple[dict[str, nn.Parameter], dict[str, Tensor], dict[str, Tensor]]:
    """Weights in a layout of their own, and two sets of sums in other orders and layouts."""
    model = nn.Sequential(nn.Conv3d(2, 3, 3), nn.Linear(4, 5))
    model.to(memory_format=torch.channels_last_3d)
    weights = trainable(model)
    one, two = (
        {name: torch.randn(weight.shape) for name, weight in reversed(weights.items())}
        for _ in range(2)
    )
    return weights, one, two


def test_every_parameter_gets_its_own_part_in_its_own_layout() -> None:
    weights, one, two = layers()
    summed = in_one(one, weights)
    add_sums(summed, two, weights)
    as_gradients(weights, summed)
    for name, weight in weights.items():
        assert weight.grad is not None
        assert torch.equal(weight.grad, one[name] + two[name])
        assert weight.grad.stride() == weight.stride()


def test_every_number_is_in_the_sum_once_and_gradients_take_no_room_of_their_own() -> None:
    weights, one, _ = layers()
    summed = in_one(one, weights)
    assert len(summed) == sum(weight.numel() for weight in weights.values())
    assert sorted(summed.tolist()) == sorted(x for part in one.values() for x in part.flatten())
    as_gradients(weights, summed)
    summed.zero_()
    assert all(not weight.grad.any() for weight in weights.values() if weight.grad is not None)
