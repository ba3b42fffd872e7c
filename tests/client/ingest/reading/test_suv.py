"""Uptake values against numbers worked out by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_series import Series, datasets, write
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence as Items

from fedvox.client.ingest.reading.find import find, load
from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.scan import SUV, Scan

HALF_LIFE_S, DOSE_BQ, WEIGHT_KG = 6586.2, 370e6, 70.0
HOUR = 2 ** (3600 / HALF_LIFE_S)
"""By how much the dose has decayed after an hour."""
SCALE = WEIGHT_KG * 1000 / DOSE_BQ


def pet(**values: Any) -> list[FileDataset]:
    given = Dataset()
    given.RadiopharmaceuticalStartTime = "090000.00"
    given.RadionuclideTotalDose, given.RadionuclideHalfLife = DOSE_BQ, HALF_LIFE_S
    slices = datasets(Series(3, modality="PT"))
    for index, ds in enumerate(slices):
        ds.RescaleSlope, ds.RescaleIntercept = 2.0 + index, 0
        ds.Units, ds.DecayCorrection, ds.PatientWeight = "BQML", "START", WEIGHT_KG
        ds.SeriesDate = ds.AcquisitionDate = "20200102"
        ds.SeriesTime = "100000"
        ds.AcquisitionTime = f"10{index * 10:02d}00"
        ds.RadiopharmaceuticalInformationSequence = Items([given])
        for keyword, value in values.items():
            target = given if keyword.startswith("Radio") else ds
            if value is None and keyword in target:
                delattr(target, keyword)
            elif value is not None:
                setattr(target, keyword, value)
    return slices


def scan_of(folder: Path, slices: list[FileDataset]) -> Scan:
    write(folder, slices)
    (ref,) = find([folder]).scans
    return load(ref)


@pytest.mark.parametrize(
    ("values", "factors"),
    [
        ({}, [SCALE * HOUR] * 3),
        ({"DecayCorrection": "ADMIN"}, [SCALE] * 3),
        (
            {"DecayCorrection": "NONE"},
            [SCALE * 2 ** ((3600 + wait) / HALF_LIFE_S) for wait in (0, 600, 1200)],
        ),
        ({"SeriesTime": "113000"}, [SCALE * HOUR] * 3),
        ({"RadiopharmaceuticalStartDateTime": "20200102080000.00"}, [SCALE * HOUR**2] * 3),
        (
            {
                "RadiopharmaceuticalStartTime": "233000",
                "SeriesTime": "003000",
                "AcquisitionTime": "004000",
            },
            [SCALE * HOUR] * 3,
        ),
        ({"Units": "GML"}, [1.0] * 3),
        (
            {
                "RadiopharmaceuticalStartTime": "091100",
                "SeriesTime": "1011",
                "AcquisitionTime": "1011",
            },
            [SCALE * HOUR] * 3,
        ),
        (
            {
                "RadiopharmaceuticalStartDateTime": "20200102070000+0000",
                "TimezoneOffsetFromUTC": "+0200",
            },
            [SCALE * HOUR] * 3,
        ),
        ({"RadiopharmaceuticalStartDateTime": "20200102070000+0000"}, [SCALE * HOUR] * 3),
    ],
    ids=[
        "start", "admin", "none", "late series", "date and time", "before midnight", "SUV",
        "hours and minutes alone", "time zones", "a time zone of the injection alone",
    ],
)  # fmt: skip
def test_activity_becomes_uptake(
    values: dict[str, Any], factors: list[float], tmp_path: Path
) -> None:
    scan = scan_of(tmp_path, pet(**values))
    stored = Series(3, modality="PT").voxels().transpose(2, 1, 0).astype(float)
    wanted = stored * [2.0, 3.0, 4.0] * factors
    np.testing.assert_allclose(scan.image[0], wanted, rtol=1e-6)
    assert SUV in scan.flags


@pytest.mark.parametrize(
    "values",
    [
        {"Units": "CNTS"},
        {"Units": None},
        {"PatientWeight": None},
        {"PatientWeight": 0},
        {"RadionuclideTotalDose": None},
        {"RadionuclideHalfLife": 0},
        {"RadiopharmaceuticalStartTime": None},
        {"RadiopharmaceuticalStartDateTime": "20200103080000"},
        {
            "RadiopharmaceuticalStartDateTime": "20200102070000+0000",
            "RadiopharmaceuticalStartTime": None,
        },
        {"SeriesTime": "085500", "AcquisitionTime": "101000"},
        {"RadionuclideTotalDose": 370},
        {"DecayCorrection": ""},
        {"RadiopharmaceuticalInformationSequence": Items([])},
    ],
)
def test_activity_without_what_it_takes_is_refused(values: dict[str, Any], tmp_path: Path) -> None:
    slices = pet()
    if "RadiopharmaceuticalInformationSequence" in values:
        for ds in slices:
            ds.RadiopharmaceuticalInformationSequence = Items([])
    else:
        slices = pet(**values)
    with pytest.raises(Quarantined) as caught:
        scan_of(tmp_path, slices)
    assert caught.value.reason is Reason.NO_UNITS


def of_philips(
    scale: dict[int, str], creator: str = "Philips PET Private Group"
) -> list[FileDataset]:
    slices = pet(Units="CNTS")
    for ds in slices:
        block = ds.private_block(0x7053, creator, create=True)
        for element, value in scale.items():
            block.add_new(element, "DS", value)
    return slices


@pytest.mark.parametrize(
    ("scale", "factor"),
    [
        ({0x00: "0.5"}, 0.5),
        ({0x00: "0.5", 0x09: "3"}, 0.5),
        ({0x09: "3"}, 3 * SCALE * HOUR),
        ({0x00: "0", 0x09: "3"}, 3 * SCALE * HOUR),
    ],
)
def test_counts_become_uptake_by_the_factors_of_philips(
    scale: dict[int, str], factor: float, tmp_path: Path
) -> None:
    scan = scan_of(tmp_path, of_philips(scale))
    stored = Series(3, modality="PT").voxels().transpose(2, 1, 0).astype(float)
    np.testing.assert_allclose(scan.image[0], stored * [2.0, 3.0, 4.0] * factor, rtol=1e-6)


def test_the_same_numbers_of_another_manufacturer_mean_nothing(tmp_path: Path) -> None:
    with pytest.raises(Quarantined) as caught:
        scan_of(tmp_path, of_philips({0x00: "0.5"}, "SOMEBODY ELSE"))
    assert caught.value.reason is Reason.NO_UNITS
