"""Masks in volume files: values, names, layers, other grids, and what is refused."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from fedvox.client.ingest.labels.grid import Grid
from fedvox.client.ingest.labels.label import OVERLAPS, PARTLY_OUTSIDE, RESAMPLED
from fedvox.client.ingest.labels.masks import MaskFile, paint_mask, paint_masks
from fedvox.client.ingest.reasons import Quarantined, Reason

AFFINE = np.diag([1.0, 2.0, 3.0, 1.0])
GRID = Grid((8, 9, 10), AFFINE)


def _values(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, GRID.shape).astype(np.uint8)


def _save(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32, np.float64])
def test_values_stay_as_they_are(tmp_path: Path, kind: type):
    path = _save(tmp_path / "m.nii.gz", _values().astype(kind))
    label = paint_mask(path, GRID, {})
    assert np.array_equal(label.map, _values())
    assert label.map.dtype == np.int16
    assert label.flags == frozenset()


def test_values_by_the_label_map_and_none_that_it_does_not_name(tmp_path: Path):
    path = _save(tmp_path / "m.nii.gz", _values())
    label = paint_mask(path, GRID, {"1": 2, "2": 1, "3": 0})
    assert np.array_equal(label.map, np.array([0, 2, 1, 0])[_values()])
    with pytest.raises(Quarantined) as why:
        paint_mask(path, GRID, {"1": 1, "2": 2})
    assert why.value.reason is Reason.LABEL_VALUE


@pytest.mark.parametrize(
    "labels",
    [
        {"0": "background", "1": "Edema", "2": "Core", "3": "Rim"},
        {"background": 0, "Edema": 1, "Core": 2, "Rim": 3},
    ],
)
def test_names_of_dataset_json(tmp_path: Path, labels):
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    path = _save(tmp_path / "labelsTr" / "m.nii.gz", _values())
    assert paint_mask(path, GRID, {}).names == {1: "Edema", 2: "Core", 3: "Rim"}
    label = paint_mask(path, GRID, {"edema": 1, "core": 1, "rim": 2})
    assert np.array_equal(label.map, np.array([0, 1, 1, 2])[_values()])


def test_names_of_a_bids_table(tmp_path: Path):
    path = _save(tmp_path / "sub-1_dseg.nii.gz", _values())
    (tmp_path / "sub-1_dseg.tsv").write_text("index\tname\n1\tgrey\n2\twhite\n3\tcsf\n")
    assert paint_mask(path, GRID, {"white": 1, "grey": 0, "csf": 0}).names == {1: "white"}


def test_slicers_layers_and_names(tmp_path: Path):
    """Two layers that overlap: what Slicer saves as .seg.nrrd."""
    layers = np.zeros((*GRID.shape[::-1], 2), np.uint8)
    layers[:5, ..., 0], layers[5:, ..., 0], layers[3:7, ..., 1] = 1, 2, 1
    image = SimpleITK.GetImageFromArray(layers, isVector=True)
    image.SetSpacing((1, 2, 3))
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    for number, (name, value, layer) in enumerate(
        [("Liver", 1, 0), ("Spleen", 2, 0), ("Cyst", 1, 1)]
    ):
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(f"Segment{number}_LabelValue", str(value))
        image.SetMetaData(f"Segment{number}_Layer", str(layer))
    SimpleITK.WriteImage(image, str(tmp_path / "m.seg.nrrd"), True)
    label = paint_mask(tmp_path / "m.seg.nrrd", GRID, {"liver": 1, "spleen": 2, "cyst": 3})
    assert label.map[0, 0].tolist() == [1, 1, 1, 3, 3, 3, 3, 2, 2, 2]
    assert label.names == {1: "Liver", 2: "Spleen", 3: "Cyst"}
    assert label.flags == {OVERLAPS}


def test_channels_are_structures(tmp_path: Path):
    channels = np.zeros((*GRID.shape, 2), np.uint8)
    channels[:4, ..., 0], channels[4:6, ..., 1] = 255, 255
    label = paint_mask(_save(tmp_path / "m.nii", channels), GRID, {})
    assert label.map[:, 0, 0].tolist() == [1, 1, 1, 1, 2, 2, 0, 0]


def test_another_grid_is_resampled_and_said(tmp_path: Path):
    coarse = AFFINE.copy()
    coarse[:3, :3] *= 2
    coarse[:3, 3] = (0.5, 1.0, 1.5)
    values = np.random.default_rng(1).integers(0, 3, (4, 5, 5)).astype(np.uint8)
    label = paint_mask(_save(tmp_path / "m.nii", values, coarse), GRID, {})
    assert np.array_equal(label.map, np.kron(values, np.ones((2, 2, 2), int))[:8, :9, :10])
    assert RESAMPLED in label.flags


def test_half_of_it_outside_is_said_and_more_is_a_mismatch(tmp_path: Path):
    moved = AFFINE.copy()
    moved[0, 3] = 3
    values = np.ones(GRID.shape, np.uint8)
    label = paint_mask(_save(tmp_path / "m.nii", values, moved), GRID, {})
    assert label.flags == {RESAMPLED, PARTLY_OUTSIDE}
    for shift in (5, 50):
        moved[0, 3] = shift
        with pytest.raises(Quarantined) as why:
            paint_mask(_save(tmp_path / "m.nii", values, moved), GRID, {})
        assert why.value.reason is Reason.LABEL_MISMATCH


def test_an_empty_mask_is_a_label_if_it_lies_on_the_scan(tmp_path: Path):
    nothing = np.zeros(GRID.shape, np.uint8)
    assert not paint_mask(_save(tmp_path / "m.nii", nothing), GRID, {"1": 1}).map.any()
    moved = AFFINE.copy()
    moved[0, 3] = 100
    with pytest.raises(Quarantined) as why:
        paint_mask(_save(tmp_path / "m.nii", nothing, moved), GRID, {})
    assert why.value.reason is Reason.LABEL_MISMATCH


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf, -1.0, 40000.0])
def test_values_that_are_none(tmp_path: Path, value: float):
    values = _values().astype(np.float32)
    values[0, 0, 0] = value
    with pytest.raises(Quarantined) as why:
        paint_mask(_save(tmp_path / "m.nii", values), GRID, {})
    assert why.value.reason is Reason.LABEL_VALUE


def test_one_file_a_structure(tmp_path: Path):
    liver, tumour = np.zeros(GRID.shape, np.uint8), np.zeros(GRID.shape, np.uint8)
    liver[:6], tumour[4:5] = 255, 1
    files = [
        MaskFile(_save(tmp_path / "a_tumour.nii", tumour), "tumour"),
        MaskFile(_save(tmp_path / "a_liver.nii", liver), "liver"),
    ]
    label = paint_masks(files, GRID, {"Liver": 1, "Tumour": 2})
    assert label.map[:, 0, 0].tolist() == [1, 1, 1, 1, 2, 1, 0, 0]
    assert label.flags == {OVERLAPS}
    assert paint_masks(files, GRID, {}).names == {1: "liver", 2: "tumour"}


def test_the_colours_of_a_palette_are_numbers_and_other_colours_are_not(tmp_path: Path):
    from PIL import Image

    values = np.random.default_rng(0).integers(0, 4, (5, 6)).astype(np.uint8)
    coloured = Image.fromarray(values).convert("P")
    coloured.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0])
    coloured.save(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").mode == "P"
    grid = Grid((6, 5, 1), np.diag([-0.2, -0.2, 1.0, 1.0]))
    assert np.array_equal(paint_mask(tmp_path / "a.png", grid, {}).map[:, :, 0], values.T)
    coloured.convert("RGB").save(tmp_path / "b.png")
    with pytest.raises(Quarantined) as why:
        paint_mask(tmp_path / "b.png", grid, {})
    assert why.value.reason is Reason.LABEL_VALUE
