"""Geometry in the order of anatomy, intensities within labels."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from datasets import PATIENTS, add, content

from fedvox.client.cohort.measure import anatomical, intensities, measure_case
from fedvox.client.dataset.dataset import Dataset
from fedvox.client.dataset.intake import Intake
from fedvox.client.dataset.places import Place


@pytest.mark.parametrize(
    ("axes", "order"),
    [("RAS", (0, 1, 2)), ("LPI", (0, 1, 2)), ("SAL", (2, 1, 0)), ("PIR", (2, 0, 1)), ("L?S", (0, 1, 2))],
)  # fmt: skip
def test_axes_in_the_order_of_anatomy(axes: str, order: tuple[int, ...]) -> None:
    assert anatomical(axes, 3) == order


def test_intensities_are_those_within_the_label() -> None:
    image = np.zeros((20, 20, 20), np.int16)
    image[5:15, 5:15, 5:15] = np.arange(1000).reshape(10, 10, 10)
    label = np.zeros_like(image)
    label[5:15, 5:15, 5:15] = 1
    inside = np.percentile(np.arange(1000), (0.5, 50, 99.5))
    np.testing.assert_allclose(intensities(image, label), inside)
    assert intensities(image, None)[1] == 0.0
    few = np.zeros_like(label)
    few[5, 5, 5:9] = 1
    assert intensities(image, few) == intensities(image, None)


def test_a_large_image_is_thinned_and_its_percentiles_stay() -> None:
    image = np.random.default_rng(0).normal(50, 20, (160, 160, 160)).astype(np.float32)
    np.testing.assert_allclose(
        intensities(image, None), np.percentile(image, (0.5, 50, 99.5)), atol=1.0
    )


def test_a_case_of_a_dataset(tmp_path: Path) -> None:
    made = content(0, size=20)
    facts = dataclasses.replace(
        made.facts, axes="SAL", spacing_mm=(4.0, 1.0, 2.0), names={1: "liver"}
    )
    with Intake(Place(tmp_path, "d")) as intake:
        assert not add(intake, 0, PATIENTS[0], dataclasses.replace(made, facts=facts))
        intake.form_version()
    dataset = Dataset.open(tmp_path, "d")
    (case,) = dataset.cases()
    found = measure_case(dataset, case)
    assert found is not None
    assert found.spacing_mm == (2.0, 1.0, 4.0) and found.size == (20, 20, 20)
    assert found.labels == {(1, "liver")} and found.modality == "CT" and found.channels == 1
    inside = made.image[0][np.asarray(made.label) > 0]
    np.testing.assert_allclose(found.intensity, np.percentile(inside, (0.5, 50, 99.5)))
    dataset.place.case(case.key).unlink()
    assert measure_case(dataset, case) is None
