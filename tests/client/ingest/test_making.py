"""A scan and its label as the content of a case."""

import numpy as np
import pytest

from fedvox.client.deid.attributes import Kept
from fedvox.client.ingest.labels.label import Label
from fedvox.client.ingest.making import DEFACED, Recipe, content_of
from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.scan import HEAD, Scan

SHAPE = (12, 10, 8)


def scan(**changes: object) -> Scan:
    image = np.random.default_rng(1).integers(-1000, 1000, (1, *SHAPE)).astype(np.int16)
    given: dict[str, object] = {
        "image": image,
        "affine": np.diag([-0.7, -0.8, 2.5, 1.0]),
        "modality": "CT",
        "patient": "DOE-4711",
        "technical": {"kvp_kv": 120.0, "age_years": 61.0, "sex": "F", "manufacturer": "Doe's"},
        "flags": frozenset({"hu"}),
    }
    return Scan(**{**given, **changes})  # type: ignore[arg-type]


def reason(made: Scan, label: Label | None = None, recipe: Recipe | None = None) -> Reason:
    with pytest.raises(Quarantined) as caught:
        content_of(made, label, recipe or Recipe())
    return caught.value.reason


def test_what_is_kept_of_a_scan() -> None:
    facts = content_of(scan(), None, Recipe(kept=Kept(age=True))).facts
    assert (facts.shape, facts.dtype, facts.axes) == ((1, *SHAPE), "int16", "LPS")
    assert facts.spacing_mm == (0.7, 0.8, 2.5)
    assert facts.attributes == {"kvp_kv": 120.0, "manufacturer": "other", "age_band": "60-69"}
    assert (facts.label, facts.flags) == ("", ("hu",))


def test_names_of_structures_stay_where_they_are_of_medicine() -> None:
    values = np.zeros(SHAPE, np.int16)
    values[2:4], values[4:6], values[6:8] = 1, 2, 5
    label = Label(values, {1: "Liver", 2: "Mustermann tumor", 5: "DOE kidney"})
    facts = content_of(scan(), label, Recipe()).facts
    assert (facts.label, facts.values, facts.names) == ("map", (0, 1, 2, 5), {1: "Liver"})


def test_a_class_that_names_the_patient_is_none() -> None:
    assert content_of(scan(), Label("benign"), Recipe()).facts.class_name == "benign"
    for name in ("Doe", "case 4711", "../etc", "x" * 49, "1234567"):
        assert reason(scan(), Label(name)) is Reason.LABEL_VALUE


def test_a_label_must_be_of_the_task_and_of_the_scan() -> None:
    good = Label(np.zeros(SHAPE, np.int16))
    assert reason(scan(), good, Recipe("classification")) is Reason.NO_LABEL
    assert reason(scan(), Label("benign"), Recipe("segmentation")) is Reason.NO_LABEL
    assert reason(scan(), Label(np.zeros((2, 2, 2), np.int16))) is Reason.LABEL_MISMATCH
    many = np.arange(960, dtype=np.int16).reshape(SHAPE)
    assert len(content_of(scan(), Label(many), Recipe()).facts.values) == 960


def test_what_is_no_image() -> None:
    assert reason(scan(image=np.zeros((1, 0, 4, 4), np.int16))) is Reason.EMPTY
    image = np.zeros((1, *SHAPE), np.float32)
    image[0, 1, 1, 1] = np.nan
    assert reason(scan(image=image)) is Reason.NOT_FINITE
    assert reason(scan(affine=np.full((4, 4), np.inf))) is Reason.NOT_FINITE


def test_a_head_is_defaced_or_not_used() -> None:
    assert reason(scan(flags=frozenset({HEAD})), None, Recipe(deface=True)) is Reason.FACE
    x, y, z = np.indices((50, 60, 60)) * 4.0
    inside = ((x - 100) / 75) ** 2 + ((y - 115) / 92) ** 2 + ((z - 120) / 100) ** 2 < 1
    image = np.where(inside, 40, -1000).astype(np.int16)[None]
    head = scan(image=image, affine=np.diag([4.0, 4.0, 4.0, 1.0]), flags=frozenset({HEAD}))
    made = content_of(head, Label(inside.astype(np.int16)), Recipe(deface=True))
    assert DEFACED in made.facts.flags
    gone = image[0] != made.image[0]
    assert 0.02 < gone.sum() / inside.sum() < 0.4
    assert made.label is not None and not made.label[gone].any()
    np.testing.assert_array_equal(made.label[~gone], inside[~gone])
    plain = content_of(head, None, Recipe())
    np.testing.assert_array_equal(plain.image, image)
    assert DEFACED not in plain.facts.flags
