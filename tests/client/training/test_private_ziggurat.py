"""The ziggurat layer by layer and branch by branch, and the bell that comes out of it."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
import torch
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from scipy import stats

from fedvox.client.training.private.noise import Noise
from fedvox.client.training.private.ziggurat import BLOCK, decide, first_try, layers

KEY = bytes(range(32))
PLAIN = bytes(32)
"""Of whose first words none has to be decided."""
MANY = 3_000_000
LAYERS = 1024

Floats = npt.NDArray[np.float64]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def keystream(key: bytes, words: int) -> npt.NDArray[np.uint64]:
    """Counters, enciphered block by block."""
    counters = b"".join(n.to_bytes(16, "big") for n in range(-(-words // 2)))
    plain = Cipher(AES(key), ECB()).encryptor().update(counters)
    return np.frombuffer(plain, dtype=np.uint64)[:words]


def drawn(word: int, *uniform: float) -> float:
    """The number of one word; what may be asked for besides."""

    def given(count: int) -> Floats:
        assert count == len(uniform)
        return np.array(uniform)

    out = np.empty(1)
    places, layer = first_try(np.array([word]), out)
    decide(out, places, layer, given)
    return float(out[0])


def word(layer: int, place: float) -> int:
    """The word for a place in a layer, from -1 to 1."""
    return (int(place * 2**53) << 10 & ~(LAYERS - 1)) | layer


def edges() -> tuple[Floats, Floats]:
    return layers().steps * 2.0**63, layers().inner


def test_all_layers_have_one_area_and_fill_the_bell() -> None:
    bell, (outer, inner) = layers(), edges()
    assert len(outer) == LAYERS
    tail = stats.norm.sf(inner[0])
    assert bell.tail == pytest.approx(tail, rel=1e-12)
    lowest = inner[0] * math.exp(-0.5 * inner[0] ** 2) + tail * math.sqrt(2 * math.pi)
    boxes = outer * (bell.upper - bell.lower)
    np.testing.assert_allclose(boxes[1:], lowest, rtol=1e-9)
    assert outer[0] * math.exp(-0.5 * inner[0] ** 2) == pytest.approx(lowest, rel=1e-12)
    assert bell.upper[-1] == 1.0
    np.testing.assert_array_equal(outer[1:], inner[:-1])


@pytest.mark.parametrize("layer", [0, 1, 500, 1022])
@pytest.mark.parametrize("sign", [1, -1])
def test_what_lies_within_the_box_above_is_taken_as_it_is(layer: int, sign: int) -> None:
    outer, inner = edges()
    place = 0.999 * inner[layer] / outer[layer]
    assert drawn(word(layer, sign * place)) == pytest.approx(sign * place * outer[layer], rel=1e-9)


@pytest.mark.parametrize("layer", [1, 500, 1022, 1023])
def test_at_the_bells_edge_chance_decides_by_its_height(layer: int) -> None:
    outer, inner = edges()
    number = (outer[layer] + inner[layer]) / 2
    low, high, there = (math.exp(-0.5 * x * x) for x in (outer[layer], inner[layer], number))
    limit = (there - low) / (high - low)
    at = word(layer, -number / outer[layer])
    assert drawn(at, limit - 1e-3, 0.3, 0.1) == pytest.approx(-number, rel=1e-9)
    anew = math.sqrt(-2 * math.log(1 - 0.3)) * math.cos(2 * math.pi * 0.1)
    assert drawn(at, limit + 1e-3, 0.3, 0.1) == pytest.approx(anew, rel=1e-12)


@pytest.mark.parametrize("chance", [0.0, 0.25, 1 - 2.0**-53])
def test_beyond_the_lowest_edge_lies_the_normal_tail(chance: float) -> None:
    wanted = stats.norm.isf((1 - chance) * stats.norm.sf(edges()[1][0]))
    assert drawn(word(0, 0.99999), chance, 0.5, 0.5) == pytest.approx(wanted, rel=1e-9)
    assert drawn(word(0, -0.99999), chance, 0.5, 0.5) == pytest.approx(-wanted, rel=1e-9)
    assert 4 < wanted < 10


def test_every_bit_is_of_the_keystream() -> None:
    words = keystream(PLAIN, 7)
    np.testing.assert_array_equal(Noise(PLAIN).uniform(7), (words >> np.uint64(11)) * 2.0**-53)
    signed = words.view(np.int64)
    outer, inner = edges()
    layer = signed & (LAYERS - 1)
    numbers = signed * 2.0**-63 * outer[layer]
    assert (np.abs(numbers) < inner[layer]).all(), "take another key"
    np.testing.assert_allclose(Noise(PLAIN).gaussian(7).numpy(), numbers, rtol=1e-15)


def test_numbers_fall_as_under_the_bell_out_to_its_tail() -> None:
    numbers = Noise(KEY).gaussian(MANY).numpy()
    bounds = np.concatenate([[-np.inf], np.linspace(-4.4, 4.4, 177), [np.inf]], dtype=np.float64)
    counts = np.histogram(numbers, bounds)[0]
    wanted = np.diff(stats.norm.cdf(bounds)) * MANY
    chi = ((counts - wanted) ** 2 / wanted).sum()
    assert 0.001 < stats.chi2.sf(chi, len(wanted) - 1) < 0.999
    assert stats.kstest(numbers, "norm").pvalue > 0.001
    for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3), (6, 15)):
        deviation = math.sqrt(stats.norm.moment(2 * power) / MANY)
        assert abs((numbers**power).mean() - moment) < 5 * deviation
    assert stats.kstest(np.abs(numbers[np.abs(numbers) > 3.5]), TAIL.cdf).pvalue > 0.001


TAIL = stats.truncnorm(3.5, np.inf)


def test_neighbours_know_nothing_of_each_other_across_blocks() -> None:
    numbers = Noise(KEY).gaussian(6 * BLOCK).numpy()
    for apart in (1, 2, BLOCK):
        one, two = numbers[:-apart], numbers[apart:]
        for first, second in ((one, two), (one**2, two**2), (np.abs(one), two)):
            assert abs(np.corrcoef(first, second)[0, 1]) < 5 / math.sqrt(len(one))
    assert len(np.unique(numbers)) == len(numbers)


def test_numbers_are_finer_than_single_precision() -> None:
    """Else their sum with a gradient would have gaps that tell the gradient."""
    numbers = Noise(KEY).gaussian(1 << 15)
    assert int((numbers.float().double() == numbers).sum()) < 5
    last_bits = numbers.numpy().view(np.uint64) & np.uint64(0xFFFF)
    assert stats.chisquare(np.bincount((last_bits >> np.uint64(8)).astype(int))).pvalue > 0.001


def test_blocks_and_threads_leave_nothing_behind_in_each_other() -> None:
    """A desk is used again: whatever lay on it before, the numbers are the same."""
    whole = Noise(KEY).gaussian(2 * BLOCK + 5)
    Noise(PLAIN).gaussian(BLOCK)
    with ThreadPoolExecutor(3) as pool:
        others = [pool.submit(lambda: Noise(KEY).gaussian(2 * BLOCK + 5)) for _ in range(6)]
        assert all(torch.equal(other.result(), whole) for other in others)
    words = keystream(KEY, 2 * BLOCK + 5).view(np.int64)
    outer, inner = edges()
    layer = words & (LAYERS - 1)
    numbers = words * 2.0**-63 * outer[layer]
    settled = np.abs(numbers) < inner[layer]
    np.testing.assert_allclose(whole.numpy()[settled], numbers[settled], rtol=1e-15)
    assert 0.99 < settled.mean() < 1


def test_the_same_key_gives_the_same_bits() -> None:
    one, two = Noise(KEY), Noise(KEY)
    for count in (1, 5, BLOCK + 3, 0, 7):
        assert torch.equal(one.gaussian(count), two.gaussian(count))
        np.testing.assert_array_equal(one.uniform(count), two.uniform(count))
