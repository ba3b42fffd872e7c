"""Datasets of small cases, made without files to import."""

from pathlib import Path

import numpy as np

from fedvox.client.dataset.case import Case, Facts
from fedvox.client.dataset.casefile import Content
from fedvox.client.dataset.intake import Intake
from fedvox.client.dataset.manifest import SourceOf
from fedvox.client.dataset.places import Place
from fedvox.client.dataset.versions import Version

PATIENTS = [f"P-{letter * 4}-AAAA-AAAA-AAAA" for letter in "BCDEFGHIJKLMNOPQRSTU"]


def content(number: int, size: int = 10, dtype: type = np.int16, class_name: str = "") -> Content:
    """A bright ball in noise, labelled."""
    rng = np.random.default_rng(number)
    grid = np.indices((size, size, size))
    centre = rng.uniform(0.35, 0.6, (3, 1, 1, 1)) * size
    ball = (np.square(grid - centre).sum(axis=0) < (0.25 * size) ** 2).astype(np.int16)
    noise = rng.normal(0, 30, ball.shape)
    image = (1000 * ball + noise)[None].astype(dtype)
    label = None if class_name else ball
    facts = Facts(
        image.shape,
        str(image.dtype),
        (1.0, 1.0, 1.0),
        "RAS",
        "CT",
        "class" if class_name else "map",
        () if class_name else (0, 1),
        {} if class_name else {1: "lesion"},
        class_name,
        (),
        {"manufacturer": "GE"},
    )
    return Content(image, np.eye(4), label, facts)


def add(intake: Intake, number: int, patient: str, made: Content | None = None) -> str:
    """One case into an open import; the reason where it was not taken."""
    made = made or content(number)
    packed = intake.write(made)
    case = Case(
        packed.key,
        packed.image_sha256,
        patient,
        "2.25.1",
        f"2.25.{number}",
        made.facts,
        packed.bytes,
    )
    source = SourceOf(f"mark-{number}", "label", "recipe", patient, (f"i{number}".encode(),))
    return intake.add(case, source, frozenset())


def dataset(home: Path, cases: int = 6, name: str = "d", classes: tuple[str, ...] = ()) -> Version:
    """A dataset in which every patient has one case, but the first has two."""
    with Intake(Place(home, name)) as intake:
        for number in range(cases):
            label = classes[number % len(classes)] if classes else ""
            patient = PATIENTS[max(0, number - 1)]
            assert not add(intake, number, patient, content(number, class_name=label))
        version = intake.form_version()
    assert version is not None
    return version
