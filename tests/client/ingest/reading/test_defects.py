"""Every defect of a generated set ends as a scan or with the reason that names it."""

from pathlib import Path

import pytest
from dicom_defects import CASES, Defect, written

from fedvox.client.ingest.reading.find import find, load
from fedvox.client.ingest.reasons import Quarantined

NAMES = [f"{defect.name}, {variant}" for defect, variant in CASES]


def test_there_are_two_hundred_of_them() -> None:
    assert len(set(NAMES)) == len(CASES) >= 200


@pytest.mark.parametrize(("defect", "variant"), CASES, ids=NAMES)
def test_every_defect_ends_as_it_should(defect: Defect, variant: str, tmp_path: Path) -> None:
    written(tmp_path, defect, variant)
    found = find([tmp_path])
    reasons = [str(aside.reason) for aside in found.set_aside]
    loaded = 0
    for ref in found.scans:
        try:
            loaded += load(ref).image.size > 0
        except Quarantined as quarantined:
            reasons.append(str(quarantined.reason))
    files = set(tmp_path.iterdir())
    ended = {path for aside in found.set_aside for path in aside.files} | set(found.companions)
    assert ended | {path for ref in found.scans for path in ref.files} == files
    assert (set(reasons), loaded) == (set(defect.reasons), defect.scans)
    assert not any(aside.detail.startswith("unexpected") for aside in found.set_aside)
