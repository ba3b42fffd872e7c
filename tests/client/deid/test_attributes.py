"""What the store may know of a scan, made coarse."""

import pytest

from fedvox.client.deid.attributes import Kept, attributes
from fedvox.client.ingest.scan import TECHNICAL

SCAN: dict[str, str | float] = {
    "modality": "CT",
    "kvp_kv": 119.9,
    "field_strength_t": 2.9936,
    "manufacturer": "SIEMENS Healthineers of Jane Doe",
    "model": "SOMATOM Jane Doe",
    "slice_thickness_mm": 1.24999,
    "sex": "F",
    "age_years": 61.4,
}


def test_the_technical_is_kept_and_coarse() -> None:
    assert set(SCAN) == set(TECHNICAL)
    assert attributes(SCAN) == {
        "field_strength_t": 3.0,
        "kvp_kv": 120.0,
        "manufacturer": "Siemens",
        "modality": "CT",
        "slice_thickness_mm": 1.25,
    }


def test_age_and_sex_only_where_the_policy_lets_them() -> None:
    found = attributes(SCAN, Kept(age=True, sex=True))
    assert (found["age_band"], found["sex"]) == ("60-69", "F")
    assert "age_band" not in attributes(SCAN, Kept(sex=True))
    assert "sex" not in attributes(SCAN, Kept(age=True))


@pytest.mark.parametrize(
    ("years", "band"),
    [(0.1, "0-9"), (9.4, "0-9"), (10, "10-19"), (89, "80-89"), (90, "90+"), (107, "90+")],
)
def test_ages_are_bands_and_the_oldest_are_one(years: float, band: str) -> None:
    assert attributes({"age_years": years}, Kept(age=True)) == {"age_band": band}


@pytest.mark.parametrize(
    "strange",
    [
        {"modality": "DOE"},
        {"kvp_kv": "Jane"},
        {"kvp_kv": float("nan")},
        {"kvp_kv": 19631224.0},
        {"field_strength_t": -1.0},
        {"slice_thickness_mm": float("inf")},
        {"sex": "Jane"},
        {"age_years": 1963.0},
        {"institution": "St. Elsewhere"},
        {"model": "Jane"},
    ],
)
def test_what_does_not_read_as_what_it_should_be_is_dropped(
    strange: dict[str, str | float],
) -> None:
    assert attributes(strange, Kept(age=True, sex=True)) == {}


def test_a_maker_is_one_of_those_that_are_known() -> None:
    spelled = {
        "GE MEDICAL SYSTEMS": "GE",
        "GE": "GE",
        "Philips Medical Systems": "Philips",
        "TOSHIBA": "Toshiba",
        "Dr. Doe's garage": "other",
        "Gerda Doe": "other",
    }
    for name, kept in spelled.items():
        assert attributes({"manufacturer": name}) == {"manufacturer": kept}
