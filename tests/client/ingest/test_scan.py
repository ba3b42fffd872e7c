"""What references and scans show of themselves, and findings put together."""

from pathlib import Path

import numpy as np

from fedvox.client.ingest.reasons import Reason
from fedvox.client.ingest.scan import Findings, LabelFile, Scan, ScanRef, SetAside, merged

SECRET = "DOE-JANE-1.2.3"


def test_nothing_shows_an_identifier() -> None:
    path = Path(f"/export/{SECRET}/1")
    shown = [
        Scan(np.zeros((1, 2, 2, 2), np.int16), np.eye(4), "CT", SECRET, {}, SECRET, SECRET, SECRET),
        ScanRef("dicom", "CT", (path,), "f", (), SECRET, SECRET, SECRET, SECRET, (SECRET,), SECRET),
        LabelFile(path, "SEG", SECRET, SECRET, SECRET, SECRET),
        SetAside(Reason.LOCALISER, (path,), SECRET, SECRET, SECRET),
    ]
    assert not any(SECRET in repr(one) for one in shown)


def test_findings_add_up() -> None:
    ref = ScanRef("dicom", "CT", (), "f")
    aside = SetAside(Reason.EMPTY, ())
    both = merged([Findings((ref,), files_read=2), Findings((ref,), (), (aside,), files_read=3)])
    assert both == Findings((ref, ref), (), (aside,), (), 5)
