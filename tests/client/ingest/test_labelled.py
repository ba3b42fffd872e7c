"""Scans and labels below paths as a person names them."""

from pathlib import Path

import pytest
from dicom_series import Series, datasets, write

from fedvox.client.ingest.labelled import LabelWish, seek
from fedvox.client.ingest.reasons import Reason
from fedvox.common.errors import InputError


def test_links_that_lead_in_a_circle_stop_nothing(tmp_path: Path) -> None:
    write(tmp_path / "in", datasets(Series(3)))
    for folder in (tmp_path / "in", tmp_path / "labels"):
        folder.mkdir(exist_ok=True)
        (folder / "self").symlink_to(folder / "self")
        (folder / "nowhere").symlink_to(folder / "missing")
    sought = seek([tmp_path / "in"], [tmp_path / "labels"], LabelWish())
    assert len(sought.scans) == 1
    assert [aside.reason for aside in sought.set_aside] == [Reason.UNREADABLE] * 4


def test_a_column_or_attribute_that_there_is_not_is_said(tmp_path: Path) -> None:
    write(tmp_path / "in", datasets(Series(3)))
    (tmp_path / "in" / "classes.csv").write_text("patient,grade\nPAT-1,high\n")
    for wish in (LabelWish(column="grade"), LabelWish(attribute="PatientSex")):
        assert len(seek([tmp_path / "in"], [], wish).labels) == 1
    with pytest.raises(InputError, match="--class-column grad: no table"):
        seek([tmp_path / "in"], [], LabelWish(column="grad"))
    with pytest.raises(InputError, match=r"did you mean PatientSex\?"):
        seek([tmp_path / "in"], [], LabelWish(attribute="PatientSexx"))
