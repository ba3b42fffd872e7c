"""Segmentations on scans that are not the ones they were drawn on."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from dicom_series import Series
from labelled import OBLIQUE, dice, grid_of, write_seg, written

from fedvox.client.ingest.labels.grid import Grid
from fedvox.client.ingest.labels.label import PARTLY_OUTSIDE, RESAMPLED
from fedvox.client.ingest.labels.planes import paint_segmentation
from fedvox.client.ingest.labels.segmentation import read_segmentation
from fedvox.client.ingest.reasons import Quarantined, Reason


def _ball(series: Series, radius: float = 7.0) -> np.ndarray:
    """[slice, row, column]."""
    z, y, x = np.indices((series.slices, series.rows, series.columns))
    away = (
        (x - series.columns / 2) ** 2
        + (y - series.rows / 2) ** 2
        + (3 * (z - series.slices / 2)) ** 2
    )
    return (away < radius**2).astype(np.uint8)


def _segmentation(folder: Path, series: Series, masks: np.ndarray):
    write_seg(folder / "seg.dcm", written(folder / "ct", series), masks)
    return read_segmentation(folder / "seg.dcm")


@pytest.mark.parametrize("flips", [(0,), (1,), (2,), (0, 1, 2)])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (1, 2, 0)])
def test_a_scan_with_its_axes_turned_is_painted_straight(tmp_path: Path, flips, order):
    masks = _ball(OBLIQUE)
    grid = grid_of(OBLIQUE)
    expected, affine = masks.transpose(2, 1, 0), grid.affine.copy()
    for axis in flips:
        affine[:3, 3] += affine[:3, axis] * (expected.shape[axis] - 1)
        affine[:3, axis] *= -1
        expected = np.flip(expected, axis)
    affine[:, :3] = affine[:, order]
    expected = expected.transpose(order)
    label = paint_segmentation(
        _segmentation(tmp_path, OBLIQUE, masks), Grid(expected.shape, affine), {}
    )
    assert np.array_equal(label.map, expected)
    assert label.flags == frozenset()


def test_a_cut_out_of_the_scan_takes_its_part_of_the_label(tmp_path: Path):
    masks = _ball(OBLIQUE)
    affine = grid_of(OBLIQUE).affine.copy()
    affine[:3, 3] += affine[:3, :3] @ (14, 0, 2)
    label = paint_segmentation(
        _segmentation(tmp_path, OBLIQUE, masks), Grid((22, 40, 6), affine), {}
    )
    assert np.array_equal(label.map, masks.transpose(2, 1, 0)[14:, :, 2:])
    assert label.flags == {PARTLY_OUTSIDE}


def test_another_grid_gets_the_nearest_voxels_as_simpleitk_does(tmp_path: Path):
    masks = _ball(OBLIQUE)
    affine = OBLIQUE.affine.copy()
    affine[:3, :3] = affine[:3, :3] * (0.77, 0.91, 1.3)
    affine[:3, 3] += (1.7, -2.1, 0.9)
    target = Grid((40, 38, 6), affine)
    label = paint_segmentation(_segmentation(tmp_path, OBLIQUE, masks), target, {})
    assert RESAMPLED in label.flags
    theirs = SimpleITK.Resample(
        _itk(masks, OBLIQUE.affine),
        _itk(np.zeros(target.shape[::-1], np.uint8), affine),
        SimpleITK.Transform(),
        SimpleITK.sitkNearestNeighbor,
    )
    expected = SimpleITK.GetArrayFromImage(theirs).transpose(2, 1, 0)
    assert expected.sum() > 300
    assert dice(label.map == 1, expected == 1) > 0.999


def _itk(array: np.ndarray, affine: np.ndarray):
    lps = np.diag([-1.0, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return image


def test_a_label_of_another_place_is_a_mismatch(tmp_path: Path):
    segmentation = _segmentation(tmp_path, OBLIQUE, _ball(OBLIQUE))
    for shift in (200.0, 200.3):  # on the scan's grid, continued, and off it
        affine = OBLIQUE.affine.copy()
        affine[:3, 3] += affine[:3, 0] * shift
        with pytest.raises(Quarantined) as why:
            paint_segmentation(segmentation, Grid((36, 40, 8), affine), {})
        assert why.value.reason is Reason.LABEL_MISMATCH


def test_thick_planes_fill_all_the_thin_slices_within_them(tmp_path: Path):
    thick = Series(slices=8, rows=40, columns=36, step_mm=(0.0, 0.0, 2.5))
    fine = Series(slices=16, rows=40, columns=36, step_mm=(0.0, 0.0, 1.25))
    masks = np.zeros((8, 40, 36), dtype=np.uint8)
    masks[2:4, 10:20, 10:20] = masks[5, 10:20, 10:20] = 1  # the fifth plane is left out
    label = paint_segmentation(_segmentation(tmp_path, thick, masks), grid_of(fine), {})
    assert RESAMPLED in label.flags
    there = np.flatnonzero(label.map.any(axis=(0, 1)))
    assert there.tolist() == [4, 5, 6, 7, 10, 11]
    assert all(label.map[..., at].sum() == 100 for at in there)
