"""Walking folders of any shape."""

import os
from pathlib import Path

from dicom_series import Series, datasets, write
from real_dicom import of_pydicom

from fedvox.client.ingest.reading.find import find
from fedvox.client.ingest.reasons import Reason


def test_any_nesting_and_loops_of_links(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*"abcdefghij")
    paths = write(deep, datasets(Series(4))[:2])
    paths += write(tmp_path / "elsewhere", datasets(Series(4))[2:])
    (deep / "loop").symlink_to(tmp_path, target_is_directory=True)
    (deep / "nowhere").symlink_to(tmp_path / "missing")
    (deep / "self").symlink_to(deep / "self")
    found = find([tmp_path, deep, tmp_path / "not there"])
    (ref,) = found.scans
    assert set(ref.files) == set(paths)
    assert found.files_read == 4
    ends = {aside.files[0].name: aside.reason for aside in found.set_aside}
    assert ends == dict.fromkeys(["nowhere", "self", "not there"], Reason.UNREADABLE)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    write(tmp_path, datasets(Series(3)))
    found = find([tmp_path])
    assert len(found.scans) == 1
    assert [aside.reason for aside in found.set_aside] == [Reason.NOT_AN_IMAGE]


def test_a_dicomdir_is_an_index_and_its_files_are_found_without_it() -> None:
    found = find([of_pydicom() / "dicomdirtests" / "98892001"])
    with_index = find([of_pydicom() / "dicomdirtests"])
    assert {ref.fingerprint for ref in found.scans} <= {ref.fingerprint for ref in with_index.scans}
    assert sum(path.name.startswith("DICOMDIR") for path in with_index.companions) == 8


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    write(folder, datasets(Series(3)))
    assert len(find([tmp_path]).scans) == 1
