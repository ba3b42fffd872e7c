from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy import ndimage

from fedvox.common.study.sections import AugmentSection
from fedvox.common.tasks.augment import augment, blurred, contrasted, draw_augmentation
from fedvox.common.tasks.warp import Warp, apply_warp, draw_warp, source_voxels

torch.set_num_threads(1)

KINDS = ["flip", "rotate", "scale", "elastic", "grid", "noise", "blur", "contrast"]
SPATIAL = ["rotate", "scale", "elastic", "grid"]


def ball(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A smooth off-centre blob, and the label of where it is above its half."""
    axes = np.meshgrid(*[np.linspace(-1, 1, edge) for edge in shape], indexing="ij")
    radius = np.sqrt(sum((axis - 0.1 * at) ** 2 for at, axis in enumerate(axes)))
    image = np.exp(-4 * radius**2).astype(np.float32)
    return image[None], (image > 0.5).astype(np.uint8)


@pytest.mark.parametrize("shape", [(24, 20), (16, 20, 18)])
@pytest.mark.parametrize("kind", [*KINDS, "all"])
def test_the_same_generator_replays_to_the_bit(kind: str, shape: tuple[int, ...]) -> None:
    section = AugmentSection(**dict.fromkeys(KINDS if kind == "all" else [kind], 1.0))
    image, label = ball(shape)
    spacing = (1.0, 1.5, 2.0)[: len(shape)]

    def once(seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        changed, changed_label = augment(section, image, label, spacing, rng)
        assert changed_label is not None
        return changed, changed_label

    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(once, [1, 2] * 4))
    for seed, (changed, changed_label) in zip([1, 2] * 4, runs, strict=True):
        expected, expected_label = once(seed)
        assert np.array_equal(changed, expected)
        assert np.array_equal(changed_label, expected_label)
    assert not np.array_equal(runs[0][0], image)
    assert kind == "flip" or not np.array_equal(runs[0][0], runs[1][0])
    assert (runs[0][0].dtype, runs[0][1].dtype) == (np.float32, np.uint8)
    assert runs[0][0].shape == image.shape


def test_what_is_off_draws_nothing_and_changes_nothing() -> None:
    image, label = ball((8, 8, 8))
    rng = np.random.default_rng(0)
    changed, changed_label = augment(AugmentSection(), image, label, (1.0,) * 3, rng)
    assert changed is image
    assert changed_label is label
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("shape", [(32, 32), (24, 24, 24)])
@pytest.mark.parametrize("kind", ["flip", *SPATIAL])
def test_image_and_label_stay_aligned(kind: str, shape: tuple[int, ...]) -> None:
    section = AugmentSection(**{kind: 1.0}, rotate_degrees=90.0, scale_range=0.3)
    image, label = ball(shape)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        changed, changed_label = augment(section, image, label, (1.0,) * len(shape), rng)
        differ = (changed[0] > 0.5) != (changed_label > 0)
        # Linear and nearest sampling may only disagree at the surface.
        surface = ndimage.binary_dilation(label) & ~ndimage.binary_erosion(label)
        assert differ.sum() <= 0.35 * surface.sum()
        core = ndimage.binary_erosion(changed_label, iterations=2)
        assert (changed[0][core] > 0.5).all()
        assert changed_label.any()


def test_flips_mirror_the_drawn_axes_of_both() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(2, 4, 5, 6)).astype(np.float32)
    label = rng.integers(0, 3, (4, 5, 6)).astype(np.uint8)
    changed, changed_label = augment(AugmentSection(flip=1.0), image, label, (1.0,) * 3, rng)
    assert np.array_equal(changed, image[:, ::-1, ::-1, ::-1])
    assert np.array_equal(changed_label, label[::-1, ::-1, ::-1])


def test_probabilities_are_kept() -> None:
    rng = np.random.default_rng(0)
    section = AugmentSection(flip=0.25, noise=0.5)
    drawn = [draw_augmentation(section, (1, 4, 4), rng) for _ in range(2000)]
    assert np.mean([len(one.flips) for one in drawn]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([one.noise is not None for one in drawn]) == pytest.approx(0.5, abs=0.05)


def test_a_quarter_turn_is_exact() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(1, 9, 9, 9)).astype(np.float32)
    label = rng.integers(0, 5, (9, 9, 9)).astype(np.uint8)
    warp = Warp(angles=np.array([0.0, 0.0, np.pi / 2]))
    changed, changed_label = apply_warp(warp, image, label, (1.0, 1.0, 1.0))
    turns = [k for k in (1, 3) if np.array_equal(np.rot90(label, k), changed_label)]
    assert len(turns) == 1
    np.testing.assert_allclose(changed[0], np.rot90(image[0], turns[0]), atol=1e-4)


def test_rotation_is_rigid_in_millimetres() -> None:
    spacing = (1.0, 1.0, 3.0)
    warp = Warp(angles=np.array([0.4, -0.3, 0.2]))
    sources = source_voxels(warp, (9, 9, 9), spacing) * np.reshape(spacing, (3, 1, 1, 1))
    corners = np.array([(0, 0, 0), (8, 0, 0), (0, 8, 0), (0, 0, 8), (3, 5, 7)])
    before = corners * spacing
    after = np.array([sources[:, a, b, c] for a, b, c in corners])
    for one in range(5):
        for two in range(5):
            expected = np.linalg.norm(before[one] - before[two])
            assert np.linalg.norm(after[one] - after[two]) == pytest.approx(expected, abs=1e-4)
    np.testing.assert_allclose(sources[:, 4, 4, 4], 4 * np.array(spacing), atol=1e-5)


def test_zoom_enlarges() -> None:
    _, label = ball((40, 40))
    image = label[None].astype(np.float32)
    _, larger = apply_warp(Warp(zoom=1.25), image, label, (1.0, 1.0))
    assert larger is not None
    assert larger.sum() / label.sum() == pytest.approx(1.25**2, abs=0.08)


def test_displacements_and_cells_stay_within_their_limits() -> None:
    rng = np.random.default_rng(0)
    identity = np.stack(np.meshgrid(*[np.arange(20)] * 3, indexing="ij"))
    section = AugmentSection(elastic=1.0, elastic_magnitude=2.0)
    moved = source_voxels(draw_warp(section, 3, rng), (20,) * 3, (1.0,) * 3) - identity
    assert 0.2 < np.abs(moved).max() <= 2.0
    bent = source_voxels(
        draw_warp(AugmentSection(grid=1.0, grid_limit=0.5), 3, rng), (20,) * 3, (1.0,) * 3
    )
    steps = np.diff(bent[0, :, 0, 0])
    assert (steps > 0).all(), "a grid distortion never folds"
    assert steps.max() - steps.min() > 0.01
    assert bent[0, 0, 0, 0] == 0
    assert bent[0, -1, 0, 0] == pytest.approx(19)


def test_noise_blur_and_contrast_leave_the_label() -> None:
    image, label = ball((20, 20, 20))
    section = AugmentSection(noise=1.0, blur=1.0, contrast=1.0)
    changed, kept = augment(section, image, label, (1.0,) * 3, np.random.default_rng(0))
    assert kept is label
    assert not np.array_equal(changed, image)


def test_noise_has_at_most_the_deviation_asked_for() -> None:
    section = AugmentSection(noise=1.0, noise_std=0.2)
    rng = np.random.default_rng(0)
    drawn = [draw_augmentation(section, (1, 20, 20, 20), rng).noise for _ in range(20)]
    deviations = [noise.std() for noise in drawn if noise is not None]
    assert len(deviations) == 20
    assert 0.1 < max(deviations) < 0.21
    assert min(deviations) < 0.1


def test_blur_is_a_gaussian_on_each_channel() -> None:
    image = np.random.default_rng(0).normal(size=(2, 12, 12)).astype(np.float32)
    expected = ndimage.gaussian_filter(image, (0, 0.8, 0.8), truncate=3, mode="nearest")
    np.testing.assert_allclose(blurred(image, 0.8), expected, atol=1e-6)


def test_contrast_is_a_power_of_the_unit_range_and_keeps_constant_channels() -> None:
    image = np.array([[[-1.0, 0.0, 3.0]], [[2.0, 2.0, 2.0]]], np.float32)
    out = contrasted(image, 2.0)
    np.testing.assert_allclose(out[0, 0], [-1, -1 + 4 * (1 / 4) ** 2, 3], atol=1e-6)
    np.testing.assert_allclose(out[1], image[1])
