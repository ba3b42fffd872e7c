"""Walking folders of any shape."""

import os
import time
from pathlib import Path

import nibabel
import numpy as np
from dicom_series import Series, datasets, write
from real_dicom import of_pydicom

from fedvox.client.ingest.reading.find import find, load
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


def test_voxels_beside_their_header_are_part_of_it_whatever_they_are_called(tmp_path: Path) -> None:
    voxels = np.arange(24, dtype=np.int16)
    voxels[:4] = 8, 5, 3, 0  # as a DICOM file may begin
    (tmp_path / "a.nhdr").write_text(
        "NRRD0004\ntype: short\ndimension: 3\nsizes: 2 3 4\nendian: little\nencoding: raw\n"
        "data file: voxels.dat\n"
    )
    (tmp_path / "voxels.dat").write_bytes(voxels.tobytes())
    (tmp_path / "b.mhd").write_text(
        "ObjectType = Image\nNDims = 3\nDimSize = 2 3 4\nElementType = MET_SHORT\n"
        "ElementDataFile = other\n"
    )
    (tmp_path / "other").write_bytes(voxels[::-1].tobytes())
    (tmp_path / "stray.dat").write_bytes(bytes(100))
    found = find([tmp_path])
    assert [len(ref.files) for ref in found.scans] == [2, 2]
    assert [load(ref).image[0, 0, 0, 0] for ref in found.scans] == [8, 23]
    assert [aside.files[0].name for aside in found.set_aside] == ["stray.dat"]
    before = found.scans[0].fingerprint
    (tmp_path / "voxels.dat").write_bytes(bytes(48))
    assert find([tmp_path]).scans[0].fingerprint != before


def test_a_file_that_claims_a_terabyte_is_not_read_to_find_out(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4))
    nibabel.save(image, tmp_path / "a.nii")
    for name, head in {
        "a.nii": None,
        "b.nrrd": b"NRRD0004\ntype: short\ndimension: 3\nsizes: 2 3 4\nencoding: raw\n\n",
        "c.vti": b'<VTKFile type="ImageData" version="1.0" byte_order="LittleEndian">',
        "d.dcm": bytes(128) + b"DICM",
    }.items():
        with (tmp_path / name).open("ab") as file:
            file.write(head or b"")
            file.truncate(1 << 40)
    started = time.monotonic()
    found = find([tmp_path])
    assert {aside.files[0].name: aside.reason for aside in found.set_aside} == {
        "a.nii": Reason.TOO_LARGE,
        "b.nrrd": Reason.TOO_LARGE,
        "c.vti": Reason.TOO_LARGE,
        "d.dcm": Reason.UNREADABLE,
    }
    assert time.monotonic() - started < 30
