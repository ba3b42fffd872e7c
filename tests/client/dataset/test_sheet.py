"""The picture of a case: slices the right way up, with the label in colour, and no text."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from datasets import content
from PIL import Image

from fedvox.client.dataset.casefile import Content
from fedvox.client.dataset.sheet import sheet, write_sheet
from fedvox.common.errors import ResourceError


def flat(value: int, label: int, shape: tuple[int, int, int] = (10, 10, 20)) -> Content:
    made = content(1)
    facts = dataclasses.replace(made.facts, shape=(1, *shape))
    image = np.full((1, *shape), value, np.int16)
    return dataclasses.replace(
        made, image=image, label=np.full(shape, label, np.int16), facts=facts
    )


def test_grey_without_a_label_and_red_with_one() -> None:
    plain, drawn = sheet(flat(40, 0)), sheet(flat(40, 1))
    assert plain.shape == drawn.shape == (4 * 160, 5 * 160, 3)
    inside = plain[80, 80]
    assert inside[0] == inside[1] == inside[2] == int((40 + 160) / 400 * 255)
    red, green, blue = drawn[80, 80].astype(int)
    assert red > green == pytest.approx(blue, abs=5)
    assert (plain[0, 0] == 0).all()


def test_the_front_is_up_and_the_patients_left_on_the_right() -> None:
    made = flat(-1000, 0, (20, 20, 1))
    made.image[0, 2:6, 14:18] = 1000  # RAS+: small x is left... of the image; large y is in front
    picture = sheet(made)[:, :, 0]
    bright = np.argwhere(picture > 128).mean(axis=0)
    assert picture.shape == (160, 160)
    assert bright[0] < 60, "in front is up"
    assert bright[1] > 100, "the patient's left is on the right"


def test_voxels_that_are_no_cubes_are_drawn_in_proportion() -> None:
    made = flat(40, 0, (10, 10, 1))
    affine = np.diag([1.0, 2.0, 1.0, 1.0])
    facts = dataclasses.replace(made.facts, spacing_mm=(1.0, 2.0, 1.0))
    picture = sheet(dataclasses.replace(made, affine=affine, facts=facts))[:, :, 0]
    rows, columns = (np.flatnonzero(picture.any(axis=axis)) for axis in (1, 0))
    assert len(rows) == pytest.approx(2 * len(columns), abs=2)


def test_a_projection_is_one_tile() -> None:
    made = flat(40, 0, (30, 20, 1))
    facts = dataclasses.replace(made.facts, flags=("planar",), modality="DX", axes="LP?")
    assert sheet(dataclasses.replace(made, facts=facts, label=None)).shape == (160, 160, 3)


def test_it_is_a_png_without_any_text(tmp_path: Path) -> None:
    write_sheet(content(1), tmp_path / "case.png")
    with Image.open(tmp_path / "case.png") as picture:
        assert picture.format == "PNG" and not picture.info
    with pytest.raises(ResourceError, match="cannot be written"):
        write_sheet(content(1), tmp_path / "no" / "case.png")
