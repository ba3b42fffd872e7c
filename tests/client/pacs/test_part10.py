"""The head of a file, against pydicom and dcmtk."""

import subprocess
from io import BytesIO
from pathlib import Path

import pytest
from orthanc import require
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from fedvox.client.pacs.part10 import file_head

CT, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"


def data_set() -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    found = Dataset()
    found.SOPClassUID, found.SOPInstanceUID, found.PatientID = CT, "1.2.3", "X"
    write_dataset(buffer, found)
    return buffer.getvalue()


@pytest.mark.parametrize("uid", ["1.2.3", "1.2.34", "1." + "2" * 62])
def test_pydicom_reads_the_file(uid: str) -> None:
    read = dcmread(BytesIO(file_head(CT, uid, EXPLICIT) + data_set()))
    assert read.file_meta.MediaStorageSOPClassUID == CT
    assert read.file_meta.MediaStorageSOPInstanceUID == uid
    assert read.file_meta.TransferSyntaxUID == EXPLICIT
    assert read.file_meta.ImplementationVersionName == "FEDVOX"
    assert read.PatientID == "X"
    length = len(file_head(CT, uid, EXPLICIT)) - 132 - 12
    assert read.file_meta.FileMetaInformationGroupLength == length


def test_dcmtk_reads_the_file(tmp_path: Path) -> None:
    require(Path("/usr/bin/dcmftest"))
    path = tmp_path / "one.dcm"
    path.write_bytes(file_head(CT, "1.2.3", EXPLICIT) + data_set())
    done = subprocess.run(["dcmftest", path], capture_output=True, text=True)
    assert done.stdout.startswith("yes:")


def test_what_is_no_uid_makes_no_other_element() -> None:
    head = file_head(CT, "1.2\0\2\0\x10\0UI\x04\0" + "é" * 200, EXPLICIT)
    read = dcmread(BytesIO(head + data_set()))
    assert read.file_meta.TransferSyntaxUID == EXPLICIT
