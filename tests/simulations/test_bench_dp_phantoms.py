"""Drawn heads: what a textbook says of them holds, and they can be read as any data set."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from fedvox.common.study import load_study
from fedvox.simulations.bench.dp_phantoms import BACK, FRONT, phantom, write_phantoms
from fedvox.simulations.sources import open_source

DRAWN = [phantom(np.random.default_rng([3, number])) for number in range(12)]


def test_the_parts_lie_behind_each_other_and_are_as_large_as_in_people() -> None:
    """Head and the rest: some 1 to 4 ml each; the head in front and below."""
    for image, label in DRAWN:
        assert image.dtype == np.float32 and image.shape == label.shape
        assert np.isfinite(image).all() and image.std() > 0.05
        head, rest = (np.argwhere(label == part) for part in (FRONT, BACK))
        assert 700 < len(head) < 5000 and 500 < len(rest) < 4000
        assert head[:, 1].mean() > rest[:, 1].mean() + 8
    below = [
        np.argwhere(label == BACK)[:, 2].mean() - np.argwhere(label == FRONT)[:, 2].mean()
        for _, label in DRAWN
    ]
    assert np.mean(below) > 2


def test_the_body_is_nearly_always_in_one_piece() -> None:
    largest = []
    for _, label in DRAWN:
        pieces, _ = ndimage.label(label > 0)
        sizes = np.bincount(pieces.ravel())[1:]
        largest.append(sizes.max() / sizes.sum())
    assert min(largest) > 0.9


def test_the_body_stands_out_from_what_touches_it() -> None:
    """By its tone: else there is nothing to learn from."""
    contrasts = []
    for image, label in DRAWN:
        shell = ndimage.binary_dilation(label > 0, iterations=2) & (label == 0)
        contrasts.append(abs(image[shell].mean() - image[label > 0].mean()) / image.std())
    assert np.median(contrasts) > 0.2


def test_one_seed_gives_one_drawing() -> None:
    again = phantom(np.random.default_rng([3, 0]))
    assert np.array_equal(again[0], DRAWN[0][0]) and np.array_equal(again[1], DRAWN[0][1])
    assert not np.array_equal(again[1], DRAWN[1][1])


def test_they_are_a_data_set_of_two_parts(tmp_path: Path) -> None:
    write_phantoms(tmp_path, 3, seed=3)
    source = open_source(str(tmp_path), load_study())
    assert len(source.cases()) == 3 and not source.aside()
    assert source.suggests()["task"]["classes"] == ["background", "Anterior", "Posterior"]
    volume = source.load(source.cases()[0])
    image, label = DRAWN[0]
    np.testing.assert_array_equal(volume.image[0], image)
    np.testing.assert_array_equal(volume.label, label)
    assert np.allclose(volume.affine, np.eye(4))


@pytest.mark.parametrize("part", [FRONT, BACK])
def test_no_two_are_alike(part: int) -> None:
    assert len({int((label == part).sum()) for _, label in DRAWN}) == len(DRAWN)
