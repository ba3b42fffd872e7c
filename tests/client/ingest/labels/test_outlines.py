"""Contours against an independent rasterisation: many points in each voxel, by matplotlib."""

from pathlib import Path

import numpy as np
import pytest
from dicom_series import Series
from labelled import OBLIQUE, circle, dice, grid_of, on_slice, write_rtstruct
from matplotlib.path import Path as Outline
from pydicom import dcmread

from fedvox.client.ingest.labels.contours import read_outlines
from fedvox.client.ingest.labels.label import OVERLAPS, PARTLY_OUTSIDE
from fedvox.client.ingest.labels.outlines import paint_outlines
from fedvox.client.ingest.reasons import Quarantined, Reason

FINE = Series(slices=9, rows=70, columns=60, step_mm=(0, 0, 2.0), spacing_mm=(0.9, 0.7))


def painted(tmp_path: Path, series: Series, structures, wanted=None):
    path = write_rtstruct(tmp_path / "rt.dcm", series, structures)
    return paint_outlines(read_outlines(path), grid_of(series), wanted or {})


def supersampled(polygons, shape: tuple[int, int], parts: int = 8) -> np.ndarray:
    """Pixels of which at least half is inside an odd number of polygons: no rule about centres."""
    step = (np.arange(parts) + 0.5) / parts - 0.5
    x = (np.arange(shape[0])[:, None] + step).ravel()
    y = (np.arange(shape[1])[:, None] + step).ravel()
    points = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    odd = np.zeros(len(points), dtype=bool)
    for polygon in polygons:
        odd ^= Outline(np.vstack([polygon, polygon[:1]]), closed=True).contains_points(points)
    return odd.reshape(shape[0], parts, shape[1], parts).mean(axis=(1, 3)) >= 0.5


@pytest.mark.parametrize("series", [FINE, OBLIQUE], ids=["straight", "oblique"])
def test_a_structure_over_several_slices(tmp_path: Path, series: Series):
    radius = min(series.columns, series.rows) * 0.4
    discs = [circle(series.columns / 2, series.rows / 2, radius - at / 2) for at in range(3)]
    contours = [on_slice(series, disc, at + 2) for at, disc in enumerate(discs)]
    label = painted(tmp_path, series, {"lung": contours})
    shape = (series.columns, series.rows)
    for at, disc in enumerate(discs):
        assert dice(label.map[:, :, at + 2] == 1, supersampled([disc], shape)) >= 0.99
    assert not label.map[:, :, [0, 1, 5, 6]].any()
    assert label.names == {1: "lung"}
    assert label.flags == frozenset()


def test_a_contour_in_a_contour_is_a_hole_and_several_lie_side_by_side(tmp_path: Path):
    rings = [circle(25, 30, 20), circle(25, 30, 12), circle(25, 30, 5), circle(52, 60, 6)]
    label = painted(tmp_path, FINE, {"ring": [on_slice(FINE, ring, 4) for ring in rings]})
    assert dice(label.map[:, :, 4] == 1, supersampled(rings, (60, 70))) >= 0.99
    assert [label.map[25, 30, 4], label.map[25, 38, 4], label.map[25, 45, 4]] == [1, 0, 1]
    assert label.map[52, 60, 4] == 1


def test_a_keyhole_is_a_hole(tmp_path: Path):
    outer, inner = circle(30, 30, 22), circle(30, 30, 10)[::-1]
    keyhole = np.vstack([outer, outer[:1], inner[-1:], inner, outer[:1]])
    label = painted(tmp_path, FINE, {"ring": [on_slice(FINE, keyhole, 3)]})
    assert dice(label.map[:, :, 3] == 1, supersampled([outer, inner], (60, 70))) >= 0.99
    assert label.map[30, 30, 3] == 0


def test_centres_on_the_outline_belong_to_one_of_two_squares_that_touch(tmp_path: Path):
    left = np.array([[10, 10], [20, 10], [20, 30], [10, 30]])
    contours = {"a": [on_slice(FINE, left, 2)], "b": [on_slice(FINE, left + np.array([10, 0]), 2)]}
    found = painted(tmp_path, FINE, contours).map[:, :, 2]
    assert (found == 1).sum() == (found == 2).sum() == 200
    assert found[10:20, 10:30].tolist() == np.full((10, 20), 1).tolist()
    assert found[20:30, 10:30].tolist() == np.full((10, 20), 2).tolist()


@pytest.mark.parametrize("off", [0.0, 0.3, -0.4, 0.5])
def test_contours_off_the_slices_fill_the_nearest(tmp_path: Path, off: float):
    label = painted(tmp_path, FINE, {"x": [on_slice(FINE, circle(30, 30, 9), 4 + off)]})
    assert np.flatnonzero(label.map.any(axis=(0, 1))).tolist() == [4]


def test_of_several_planes_in_a_slice_the_nearest_fills_it(tmp_path: Path):
    contours = [on_slice(FINE, circle(30, 30, 4 + at), 4 + (at - 2) * 0.2) for at in range(5)]
    label = painted(tmp_path, FINE, {"x": contours})
    assert dice(label.map[:, :, 4] == 1, supersampled([circle(30, 30, 6)], (60, 70))) >= 0.98


def test_contours_in_sagittal_planes(tmp_path: Path):
    """[y, z] circles at columns 20 to 23."""
    series = Series(slices=40, rows=50, columns=40, step_mm=(0, 0, 1.0))
    disc = circle(25, 20, 12)
    contours = []
    for column in range(20, 24):
        voxels = np.column_stack([np.full(len(disc), column), disc, np.ones(len(disc))])
        contours.append((voxels @ series.affine.T)[:, :3])
    label = painted(tmp_path, series, {"x": contours})
    expected = np.zeros((40, 50, 40), dtype=bool)
    expected[20:24] = supersampled([disc], (50, 40))
    assert dice(label.map == 1, expected) >= 0.99


def test_contours_oblique_to_every_axis(tmp_path: Path):
    """Discs through the middle of the volume, tilted by 30 degrees: a cylinder."""
    series = Series(slices=60, rows=60, columns=60, step_mm=(0, 0, 1.0), spacing_mm=(1.0, 1.0))
    centre = (series.affine @ [30, 30, 30, 1])[:3]
    tilt = np.deg2rad(30)
    u, v = np.array([1.0, 0, 0]), np.array([0, np.cos(tilt), np.sin(tilt)])
    normal = np.cross(u, v)
    disc = circle(0, 0, 18)
    offsets = np.arange(-6, 7) * 1.5
    contours = [centre + disc @ np.stack([u, v]) + at * normal for at in offsets]
    label = painted(tmp_path, series, {"x": contours})
    index = np.stack(np.indices((60, 60, 60)), axis=-1).reshape(-1, 3)
    away = index @ series.affine[:3, :3].T + series.affine[:3, 3] - centre
    expected = (np.hypot(away @ u, away @ v) <= 18) & (np.abs(away @ normal) <= 6 * 1.5 + 0.75)
    assert dice(label.map == 1, expected.reshape(60, 60, 60)) >= 0.99


def test_names_choose_values_and_the_highest_stays_on_top(tmp_path: Path):
    structures = {
        "GTV": [on_slice(FINE, circle(30, 30, 8), 4)],
        "Lung": [on_slice(FINE, circle(30, 30, 20), 4)],
        "BODY": [on_slice(FINE, circle(30, 35, 28), 4)],
    }
    label = painted(tmp_path, FINE, structures, {"lung": 1, "gtv": 2})
    assert label.names == {1: "Lung", 2: "GTV"}
    assert [label.map[30, 30, 4], label.map[30, 45, 4], label.map[30, 55, 4]] == [2, 1, 0]
    assert label.flags == {OVERLAPS}


def test_points_and_lines_enclose_nothing(tmp_path: Path):
    path = write_rtstruct(tmp_path / "rt.dcm", FINE, {"x": [on_slice(FINE, circle(30, 30, 9), 4)]})
    ds = dcmread(path)
    ds.ROIContourSequence[0].ContourSequence[0].ContourGeometricType = "OPEN_PLANAR"
    ds.save_as(path)
    with pytest.raises(Quarantined) as why:
        read_outlines(path)
    assert why.value.reason is Reason.EMPTY


def test_a_structure_outside_the_scan_is_a_mismatch_and_half_of_one_is_flagged(tmp_path: Path):
    outside = {"x": [on_slice(FINE, circle(30, 30, 9), 40)]}
    with pytest.raises(Quarantined) as why:
        painted(tmp_path, FINE, outside)
    assert why.value.reason is Reason.LABEL_MISMATCH
    half = {"x": [on_slice(FINE, circle(3, 30, 9), 4)]}
    assert painted(tmp_path, FINE, half).flags == {PARTLY_OUTSIDE}


def test_a_contour_that_is_not_flat_is_a_mismatch(tmp_path: Path):
    points = on_slice(FINE, circle(30, 30, 15), 4)
    points[::2, 2] += 3.0
    with pytest.raises(Quarantined) as why:
        painted(tmp_path, FINE, {"x": [points]})
    assert why.value.reason is Reason.LABEL_MISMATCH


@pytest.mark.parametrize(
    "change",
    [
        lambda c: setattr(c, "ContourData", c.ContourData[:-1]),
        lambda c: setattr(c, "ContourData", c.ContourData[:-3]),
        lambda c: setattr(c, "NumberOfContourPoints", 10_000_000),
        lambda c: delattr(c, "ContourData"),
    ],
)
def test_damaged_contours_have_a_reason(tmp_path: Path, change):
    path = write_rtstruct(tmp_path / "rt.dcm", FINE, {"x": [on_slice(FINE, circle(30, 30, 9), 4)]})
    ds = dcmread(path)
    change(ds.ROIContourSequence[0].ContourSequence[0])
    ds.save_as(path)
    with pytest.raises(Quarantined) as why:
        read_outlines(path)
    assert why.value.reason is Reason.UNREADABLE


def test_a_coordinate_that_is_no_number_has_a_reason(tmp_path: Path):
    path = write_rtstruct(tmp_path / "rt.dcm", FINE, {"x": [on_slice(FINE, circle(30, 30, 9), 4)]})
    raw = path.read_bytes()
    at = raw.index(b"\\", raw.index(b"CLOSED_PLANAR") + 20)
    path.write_bytes(raw[: at + 1] + b"NaN" + raw[at + 4 :])
    with pytest.raises(Quarantined) as why:
        read_outlines(path)
    assert why.value.reason is Reason.UNREADABLE


def test_a_contour_that_stands_twice_fills_what_it_encloses(tmp_path: Path):
    outline = on_slice(FINE, circle(18, 20, 9), 3)
    once = painted(tmp_path, FINE, {"x": [outline]})
    turned = np.roll(outline[::-1], 7, axis=0)
    twice = painted(tmp_path, FINE, {"x": [outline, turned]})
    assert once.map.any()
    assert np.array_equal(once.map, twice.map)


def test_contours_of_a_series_with_thicker_slices_fill_the_slices_between(tmp_path: Path):
    thick = Series(slices=4, rows=40, columns=36, step_mm=(0.0, 0.0, 5.0))
    fine = Series(slices=20, rows=40, columns=36, step_mm=(0.0, 0.0, 1.25))
    drawn = {"x": [on_slice(thick, circle(18, 20, 9), at) for at in (1, 2)]}
    outlines = read_outlines(write_rtstruct(tmp_path / "rt.dcm", thick, drawn))
    there = paint_outlines(outlines, grid_of(fine), {}, of_another=True).map.any(axis=(0, 1))
    assert np.flatnonzero(there).tolist() == list(range(3, 11))  # 5 mm each, around 5 and 10 mm
    own = paint_outlines(outlines, grid_of(fine), {}).map.any(axis=(0, 1))
    assert np.flatnonzero(own).tolist() == [4, 8]
