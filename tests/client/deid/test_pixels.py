"""Text in the pixels: refused, or blackened where a person says where."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from command import fedvox
from dicom_series import Series, datasets, write
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from fedvox.client.deid.pixels import may_hold_text
from fedvox.client.ingest.reasons import Reason


def flagged(ds: Dataset) -> None:
    ds.BurnedInAnnotation = "YES"


def ultrasound(ds: Dataset) -> None:
    ds.Modality = "US"


def capture(ds: Dataset) -> None:
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"


def screen(ds: Dataset) -> None:
    ds.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (flagged, Reason.BURNED_IN_TEXT),
        (ultrasound, Reason.BURNED_IN_TEXT),
        (capture, Reason.SECONDARY_CAPTURE),
        (screen, Reason.SECONDARY_CAPTURE),
        (lambda ds: None, None),
    ],
)
def test_what_may_hold_text(change: Callable[[Dataset], None], reason: Reason | None) -> None:
    (ds,) = datasets(Series(1))
    change(ds)
    assert may_hold_text(ds) is reason


def test_ultrasound_that_says_it_holds_none_is_believed_and_a_capture_is_not() -> None:
    (ds,) = datasets(Series(1))
    ds.Modality, ds.BurnedInAnnotation = "US", "NO"
    assert may_hold_text(ds) is None
    capture(ds)
    assert may_hold_text(ds) is Reason.SECONDARY_CAPTURE


def blanked(tmp_path: Path, ds: FileDataset, *words: str) -> tuple[int, list[Dataset]]:
    write(tmp_path / "in", [ds])
    said = fedvox(
        "site", "deid", tmp_path / "in", tmp_path / "out", "--home", tmp_path / "home", *words
    )
    return said.status, [pydicom.dcmread(path) for path in (tmp_path / "out").rglob("*.dcm")]


@pytest.mark.parametrize("compressed", [False, True])
def test_a_region_is_blackened(tmp_path: Path, compressed: bool) -> None:
    (ds,) = datasets(Series(1))
    before = ds.pixel_array.copy()
    flagged(ds)
    if compressed:
        ds.compress(RLELossless, generate_instance_uid=False)
    status, (made,) = blanked(tmp_path, ds, "--blank", "2,3,4,5")
    expected = before.copy()
    expected[3:8, 2:6] = before.min()
    assert status == 0
    np.testing.assert_array_equal(made.pixel_array, expected)
    assert made.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert made.BurnedInAnnotation == "NO"
    codes = [item.CodeValue for item in made.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113101"]


def test_only_images_that_may_hold_text_are_blackened(tmp_path: Path) -> None:
    (ds,) = datasets(Series(1))
    before = ds.pixel_array.copy()
    _, (made,) = blanked(tmp_path, ds, "--blank", "2,3,4,5")
    np.testing.assert_array_equal(made.pixel_array, before)


@pytest.mark.parametrize("region", ["2,3,400,5", "-1,0,2,2", "0,0,0,0"])
def test_a_region_outside_the_image_blackens_nothing_and_passes_nothing(
    tmp_path: Path, region: str
) -> None:
    (ds,) = datasets(Series(1))
    flagged(ds)
    status, made = blanked(tmp_path, ds, f"--blank={region}")
    assert (status, made) == (2, [])


def test_a_region_that_is_none_is_told(tmp_path: Path) -> None:
    said = fedvox("site", "deid", tmp_path, tmp_path / "out", "--home", tmp_path, "--blank", "1,2")
    assert said.status == 2 and "X,Y,WIDTH,HEIGHT" in said.err
