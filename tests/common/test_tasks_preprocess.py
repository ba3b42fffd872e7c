import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import ndimage

from fedvox.common.errors import StudyError
from fedvox.common.study import Study, parse_study
from fedvox.common.tasks import geometry
from fedvox.common.tasks.preprocess import foreground_voxels, prepare
from fedvox.common.volume import Aside, CaseError, Volume

torch.set_num_threads(1)

SHAPE = (10, 12, 8)


def study(data: str = "", dims: int = 3, kind: str = "segmentation") -> Study:
    patch = "" if "size" in data or kind == "classification" else f"patch = {[8] * dims}"
    lines = [
        "[task]",
        f'kind = "{kind}"',
        'classes = ["background", "organ", "lesion"]',
        f"[data]\ndims = {dims}\n{patch}",
        "" if "normalise" in data else 'normalise = "none"',
        f"patch = {data.split('size = ')[1].splitlines()[0]}" if "size" in data else "",
        data,
    ]
    return parse_study("\n".join(lines))


def volume(
    shape: tuple[int, ...] = SHAPE, channels: int = 1, spacing: tuple[float, ...] = (1.0, 1.0, 1.0)
) -> Volume:
    rng = np.random.default_rng(0)
    image = rng.normal(10, 3, (channels, *shape)).astype(np.float32)
    label = rng.integers(0, 3, shape).astype(np.int32)
    return Volume(image, np.diag([*spacing, 1.0]), label)


def test_nothing_on_leaves_the_volume_as_it_is() -> None:
    case = prepare(volume(), study())
    assert np.array_equal(case.image, volume().image)
    assert np.array_equal(case.label, volume().label)
    assert case.label.dtype == np.uint8
    assert case.image.flags.c_contiguous
    assert case.spacing == (1.0, 1.0, 1.0)


def test_orientation_turns_image_label_and_spacing() -> None:
    given = volume()
    # Axes point to P, L, S, with 2, 3 and 4 mm: to reach RAS they are swapped and both flipped.
    affine = np.array([[0, -3, 0, 5], [-2, 0, 0, 6], [0, 0, 4, 7], [0, 0, 0, 1]], float)
    case = prepare(Volume(given.image, affine, given.label), study('orientation = "RAS"'))
    assert np.array_equal(case.image[0], given.image[0].transpose(1, 0, 2)[::-1, ::-1])
    assert np.array_equal(case.label, given.label.transpose(1, 0, 2)[::-1, ::-1])
    assert case.spacing == (3.0, 2.0, 4.0)


def test_orientation_in_two_dimensions() -> None:
    given = volume((6, 4))
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    case = prepare(Volume(given.image, affine, given.label), study('orientation = "RAS"', dims=2))
    assert np.array_equal(case.image[0], given.image[0, ::-1])


def test_resampling_is_linear_for_the_image_and_nearest_for_the_label() -> None:
    ramp = np.broadcast_to(np.arange(9, dtype=np.float32)[:, None, None], (9, 8, 8)).copy()
    label = (ramp >= 4).astype(np.int32)
    given = Volume(ramp[None], np.diag([2.0, 1.0, 1.0, 1.0]), label)
    case = prepare(given, study("spacing = [1.0, 1.0, 1.0]"))
    assert case.spacing == (1.0, 1.0, 1.0)
    assert case.image.shape == (1, 17, 8, 8)
    np.testing.assert_allclose(case.image[0, :, 3, 3], np.arange(17) / 2, atol=1e-5)
    found = case.label[:, 3, 3]
    assert found[:7].max() == 0
    assert found[8:].min() == 1


def test_resampling_in_two_dimensions() -> None:
    ramp = np.broadcast_to(np.arange(9, dtype=np.float32), (8, 9)).copy()
    given = Volume(ramp[None], np.diag([1.0, 1.5, 1.0, 1.0]), np.zeros((8, 9), np.int32))
    case = prepare(given, study("spacing = [1.0, 0.75]", dims=2))
    np.testing.assert_allclose(case.image[0, 2], np.arange(17) / 2, atol=1e-5)


def test_equal_spacing_is_not_resampled() -> None:
    given = volume(spacing=(1.0, 1.0, 0.9999))
    case = prepare(given, study("spacing = [1.0, 1.0, 1.0]"))
    assert np.array_equal(case.image, given.image)


def test_crop_to_what_is_above_the_minimum_of_any_channel() -> None:
    image = np.full((2, *SHAPE), -5.0, np.float32)
    image[0, 2:5, 3:7, 1:4] = 1
    image[1, 4:8, 3:4, 2:6] = -4.9
    label = np.arange(np.prod(SHAPE)).reshape(SHAPE) % 3
    case = prepare(
        Volume(image, np.eye(4), label.astype(np.int32)),
        study('channels = 2\ncrop = "foreground"'),
    )
    assert np.array_equal(case.image, image[:, 2:8, 3:7, 1:6])
    assert np.array_equal(case.label, label[2:8, 3:7, 1:6])


@pytest.mark.parametrize(
    ("setting", "oracle"),
    [
        ('denoise = "mean"', lambda x: ndimage.generic_filter(x, np.mean, 3, mode="nearest")),
        ('denoise = "median"', lambda x: ndimage.generic_filter(x, np.median, 3, mode="nearest")),
        (
            'denoise = "gaussian"\ndenoise_radius = 0.7',
            lambda x: ndimage.gaussian_filter(x, 0.7, mode="nearest"),
        ),
        ("window = [8.0, 11.0]", lambda x: np.minimum(np.maximum(x, 8), 11)),
        ('normalise = "zscore"', lambda x: (x - x.mean()) / x.std()),
        ('normalise = "range"', lambda x: (x - x.min()) / (x.max() - x.min())),
        (
            'window = [8.0, 11.0]\nnormalise = "range"',
            lambda x: (np.minimum(np.maximum(x, 8), 11) - 8) / 3,
        ),
        (
            'normalise = "percentile"\npercentiles = [10.0, 90.0]',
            lambda x: ((x - np.quantile(x, 0.1)) / np.ptp(np.quantile(x, [0.1, 0.9]))).clip(0, 1),
        ),
    ],
)
def test_intensities_against_an_oracle_for_each_channel(
    setting: str, oracle: Callable[[np.ndarray], np.ndarray]
) -> None:
    given = volume(channels=2)
    given.image[1] *= 3
    case = prepare(given, study("channels = 2\n" + setting))
    for channel, out in zip(given.image, case.image, strict=True):
        np.testing.assert_allclose(out, oracle(channel.astype(np.float64)), atol=1e-4)
    assert np.array_equal(case.label, given.label)
    assert case.image.dtype == np.float32


def test_equalisation_makes_the_histogram_flat_and_keeps_order_and_range() -> None:
    given = volume((24, 24, 24))
    out = prepare(given, study("equalise = true")).image.ravel()
    before = given.image.ravel()
    assert out.min() == pytest.approx(before.min(), abs=0.1)
    assert out.max() == pytest.approx(before.max(), abs=1e-4)
    assert (np.diff(out[np.argsort(before)]) >= 0).all()
    counts = np.histogram(out, 8)[0] / out.size
    np.testing.assert_allclose(counts, 1 / 8, atol=0.02)


@pytest.mark.parametrize("normalise", ["zscore", "percentile", "range"])
@pytest.mark.parametrize("value", [0.0, 7.3, -1024.0])
def test_constant_images_become_zero_not_nan(normalise: str, value: float) -> None:
    flat = Volume(np.full((1, *SHAPE), value, np.float32), np.eye(4), np.zeros(SHAPE, np.int32))
    case = prepare(flat, study(f'equalise = true\nnormalise = "{normalise}"'))
    assert (case.image == 0).all()


def test_size_cuts_and_pads_centred() -> None:
    given = volume()
    case = prepare(given, study("size = [6, 16, 8]"))
    assert case.image.shape == (1, 6, 16, 8)
    assert np.array_equal(case.image[:, :, 2:14], given.image[:, 2:8])
    assert np.array_equal(case.label[:, 2:14], given.label[2:8])
    # Cut first, then padded: what is added takes the minimum of what is left.
    assert (case.image[:, :, [0, 1, 14, 15]] == given.image[:, 2:8].min()).all()
    assert (case.label[:, [0, 1, 14, 15]] == 0).all()


def test_label_map() -> None:
    given = volume()
    raw = np.array([0, 7, 500], np.int32)[given.label]
    mapped = prepare(
        Volume(given.image, given.affine, raw), study('label_map = {"0" = 0, "500" = 1, "7" = 2}')
    )
    assert np.array_equal(mapped.label, np.array([0, 2, 1])[given.label])


def test_label_map_of_class_indices() -> None:
    given = volume()
    chosen = study('size = [8, 8, 8]\nlabel_map = {"0" = 1, "3" = 2}', kind="classification")
    case = prepare(Volume(given.image, given.affine, 3), chosen)
    assert case.label.shape == ()
    assert case.label == 2
    assert case.foreground.shape == (0, 4)
    with pytest.raises(CaseError, match="value 2 is not in"):
        prepare(Volume(given.image, given.affine, 2), chosen)


def test_label_map_of_names_is_refused() -> None:
    with pytest.raises(StudyError, match="'organ': values in label files are whole numbers"):
        prepare(volume(), study('label_map = {"organ" = 1}'))


def test_foreground_voxels_are_few_even_and_of_every_class() -> None:
    label = np.zeros((20, 20, 20), np.uint8)
    label[2:18, 2:18, 2:18] = 1
    label[9, 9, 9:12] = 2
    found = foreground_voxels(label, 4)
    assert found.dtype == np.int32
    assert (found[:, 0] == 1).sum() == 512
    assert found[found[:, 0] == 2][:, 1:].tolist() == [[9, 9, 9], [9, 9, 10], [9, 9, 11]]
    assert not (found[:, 0] == 3).any()
    assert len({tuple(row) for row in found}) == len(found)
    assert all(label[tuple(row[1:])] == row[0] for row in found)
    np.testing.assert_allclose(found[:512, 1:].mean(axis=0), 9.5, atol=0.5)


def _with(**changes: object) -> Volume:
    given = volume()
    return Volume(**{"image": given.image, "affine": given.affine, "label": given.label, **changes})


def _spoiled(value: float) -> np.ndarray:
    image = volume().image.copy()
    image[0, 1, 2, 3] = value
    return image


@pytest.mark.parametrize(
    ("spoiled", "data", "reason"),
    [
        (_with(label=np.full(SHAPE, 3, np.int32)), "", Aside.LABEL_VALUE),
        (_with(label=np.full(SHAPE, -1, np.int32)), "", Aside.LABEL_VALUE),
        (_with(), 'label_map = {"0" = 0, "1" = 1}', Aside.LABEL_VALUE),
        (_with(image=_spoiled(np.nan)), "", Aside.NOT_FINITE),
        (_with(image=_spoiled(np.inf)), "", Aside.NOT_FINITE),
        (_with(image=np.zeros((3, *SHAPE), np.float32)), "", Aside.CHANNELS),
        (_with(image=np.zeros((1, 0, 12, 8), np.float32)), "", Aside.EMPTY),
        (_with(image=np.zeros((1, *SHAPE), np.float32)), 'crop = "foreground"', Aside.EMPTY),
        (_with(image=np.zeros((1, 4, 4), np.float32)), "", Aside.GEOMETRY),
        (_with(label=np.zeros((9, 12, 8), np.int32)), "", Aside.GEOMETRY),
        (_with(affine=np.diag([1.0, 0.0, 1.0, 1.0])), "", Aside.GEOMETRY),
        (_with(affine=np.full((4, 4), np.nan)), "", Aside.GEOMETRY),
        (_with(label=1), "", Aside.NO_LABEL),
    ],
)
def test_cases_that_cannot_be_used_are_set_aside(spoiled: Volume, data: str, reason: Aside) -> None:
    with pytest.raises(CaseError) as caught:
        prepare(spoiled, study(data))
    assert caught.value.reason == reason


def test_a_label_value_outside_the_map_is_found_even_where_it_is_cut_away() -> None:
    label = np.zeros(SHAPE, np.int32)
    label[0, 0, 0] = 9
    with pytest.raises(CaseError, match="value 9"):
        prepare(_with(label=label), study("size = [8, 8, 8]"))


def test_a_phantom_is_prepared_at_once() -> None:
    given, chosen = volume((48, 48, 48)), study('normalise = "zscore"')
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        prepare(given, chosen)
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) < 0.01


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 2.0), (1.5, 1.5, 1.5)])
def test_a_sheared_scan_is_straightened_where_it_lies(spacing: tuple[float, ...]) -> None:
    """As of a tilted gantry: what is linear in space stays so, and axes come to right angles."""
    affine = np.array([[1.0, 0, 0, 5], [0, 1.0, 0.8, -3], [0, 0, 1.83, 7], [0, 0, 0, 1]])
    assert geometry.is_sheared(affine)
    grid = np.stack(np.meshgrid(*map(np.arange, (12, 20, 10)), indexing="ij"))
    world = np.tensordot(affine[:3, :3], grid, 1) + affine[:3, 3, None, None, None]
    image = (world[0] + 2 * world[1] + 3 * world[2]).astype(np.float32)[None]
    told, _, turned = geometry.resample(image, None, affine, spacing)
    assert not geometry.is_sheared(turned)
    np.testing.assert_allclose(geometry.spacing_of(turned), spacing, rtol=1e-6)
    grid = np.stack(np.meshgrid(*map(np.arange, told.shape[1:]), indexing="ij"))
    world = np.tensordot(turned[:3, :3], grid, 1) + turned[:3, 3, None, None, None]
    wanted = world[0] + 2 * world[1] + 3 * world[2]
    at = np.tensordot(np.linalg.inv(affine)[:3, :3], world - affine[:3, 3, None, None, None], 1)
    inside = np.all(
        [(a >= 0) & (a <= n - 1) for a, n in zip(at, (12, 20, 10), strict=True)], axis=0
    )
    assert inside.sum() > 500
    np.testing.assert_allclose(told[0][inside], wanted[inside], atol=1e-2)
