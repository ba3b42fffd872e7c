"""Real DICOM files: pydicom's own, and those that stand beside the project."""

import os
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

SHARED = Path(os.environ.get("FEDVOX_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")


def of_pydicom() -> Path:
    """The folder of pydicom's test files."""
    return Path(str(get_testdata_file("CT_small.dcm"))).parent


def shared() -> Path:
    """The folder of real series; the test is skipped where it is not there."""
    folder = SHARED / "dicom"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: real DICOM series were NOT tested")
    return folder


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
