from pathlib import Path

import numpy as np
import pytest

from fedvox.common.tasks.patches import inner_box, random_start, read_patch
from fedvox.common.tasks.preprocess import foreground_voxels
from fedvox.common.tasks.task import Prepared


def case_of(shape: tuple[int, ...], label: np.ndarray | None = None) -> Prepared:
    image = np.arange(2 * np.prod(shape), dtype=np.float32).reshape(2, *shape) + 5
    label = np.zeros(shape, np.uint8) if label is None else label
    return Prepared(image, label, (1.0,) * len(shape), foreground_voxels(label, 3))


@pytest.mark.parametrize("shape", [(20, 9), (20, 9, 13), (4, 30, 8)])
@pytest.mark.parametrize("foreground", [0.0, 0.5, 1.0])
def test_patches_lie_within_the_case(shape: tuple[int, ...], foreground: float) -> None:
    rng = np.random.default_rng(0)
    label = (rng.random(shape) < 0.05).astype(np.uint8)
    label[(0,) * len(shape)] = 2
    case, patch = case_of(shape, label), (8,) * len(shape)
    for _ in range(200):
        start = random_start(case, patch, foreground, rng)
        for first, have, want in zip(start, shape, patch, strict=True):
            assert 0 <= first <= max(have - want, 0)
        image, found = read_patch(case, start, patch)
        assert image.shape == (2, *patch)
        assert found.shape == patch


def test_every_position_is_reached_without_foreground() -> None:
    rng = np.random.default_rng(0)
    starts = {random_start(case_of((10, 9)), (8, 8), 1.0, rng) for _ in range(200)}
    assert starts == {(row, column) for row in range(3) for column in range(2)}


def test_rare_and_common_classes_are_equally_likely_and_inside_the_patch() -> None:
    label = np.zeros((40, 40, 40), np.uint8)
    label[:16, :16, :16] = 1
    label[35, 35, 35] = 2
    case, patch = case_of(label.shape, label), (12, 12, 12)
    rng = np.random.default_rng(0)
    found = [read_patch(case, random_start(case, patch, 1.0, rng), patch)[1] for _ in range(400)]
    assert all(label.any() for label in found)
    assert np.mean([2 in label for label in found]) == pytest.approx(0.5, abs=0.08)


def test_every_kept_voxel_of_a_class_is_a_centre() -> None:
    label = np.zeros((200, 8), np.uint8)
    label[20:180:40] = 1
    case, rng = case_of(label.shape, label), np.random.default_rng(0)
    middles = {random_start(case, (8, 8), 1.0, rng)[0] + 4 for _ in range(300)}
    assert {round((middle - 20) / 40) for middle in middles} == {0, 1, 2, 3}


def test_the_share_of_foreground_patches() -> None:
    label = np.zeros((60, 60), np.uint8)
    label[30, 30] = 1
    case = case_of(label.shape, label)
    rng = np.random.default_rng(0)
    hits = [
        read_patch(case, random_start(case, (4, 4), 0.6, rng), (4, 4))[1].any() for _ in range(1000)
    ]
    assert np.mean(hits) == pytest.approx(0.6 + 0.4 * 16 / 57**2, abs=0.05)


def test_centred_patches_jitter() -> None:
    label = np.zeros((60, 60), np.uint8)
    label[30, 30] = 1
    case, rng = case_of(label.shape, label), np.random.default_rng(0)
    starts = np.array([random_start(case, (16, 16), 1.0, rng) for _ in range(300)])
    assert (starts.min(axis=0) == 30 - 8 - 4).all()
    assert (starts.max(axis=0) == 30 - 8 + 4).all()


def test_the_same_generator_gives_the_same_patch() -> None:
    case = case_of((30, 30))
    pair = [random_start(case, (8, 8), 0.5, np.random.default_rng(4)) for _ in range(2)]
    assert pair[0] == pair[1]


def test_a_smaller_case_is_centred_and_padded_with_its_minimum() -> None:
    label = np.ones((3, 6), np.uint8)
    case = case_of((3, 6), label)
    image, found = read_patch(case, (0, 1), (8, 4))
    assert inner_box((3, 6), (8, 4)) == (slice(2, 5), slice(0, 6))
    assert np.array_equal(image[:, 2:5], case.image[:, :, 1:5])
    assert (image[0, :2] == case.image[0, :, 1:5].min()).all()
    assert (image[1, 5:] == case.image[1, :, 1:5].min()).all()
    assert found[2:5].all()
    assert not found[:2].any()
    assert not found[5:].any()


def test_memory_maps_are_read_not_kept(tmp_path: Path) -> None:
    case = case_of((20, 20, 20))
    np.save(tmp_path / "image.npy", case.image)
    mapped = np.load(tmp_path / "image.npy", mmap_mode="r")
    kept = Prepared(mapped, case.label, case.spacing, case.foreground)
    image, label = read_patch(kept, (1, 2, 3), (8, 8, 8))
    assert np.array_equal(image, case.image[:, 1:9, 2:10, 3:11])
    assert type(image) is np.ndarray
    assert image.flags.owndata
    assert label.flags.owndata
    image[:] = 0
    label[:] = 7
    assert not (case.label == 7).any()
