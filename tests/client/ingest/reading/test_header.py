"""Headers against pydicom's, and against bytes that lie."""

import struct
import time
from pathlib import Path

import pydicom
import pytest
from dicom_series import Series, datasets, write
from pydicom.multival import MultiValue
from real_dicom import files_below, of_pydicom, shared

from fedvox.client.ingest.reading.elements import Damaged
from fedvox.client.ingest.reading.header import Header, looks_like_dicom, read_header
from fedvox.client.ingest.reading.tags import SEQUENCES, Tag

BINARY = {"FD", "UN", "OB", "OW"}
PREAMBLE = bytes(128) + b"DICM"
META = b"\2\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0"


def value_of(header: Header, tag: Tag, element: pydicom.DataElement) -> object:
    if element.VR == "US":
        return header.short(tag)
    return header.numbers(tag) if element.VR in ("DS", "IS") else header.text(tag)


def wanted(element: pydicom.DataElement) -> object:
    many = isinstance(element.value, MultiValue | list)
    if element.VR == "US":
        return element.value
    if element.VR in ("DS", "IS"):
        try:
            return tuple(map(float, element.value if many else [element.value]))
        except ValueError:
            return ()
    return "\\".join(map(str, element.value)) if many else str(element.value).strip()


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom.*")
def test_headers_of_real_files_are_those_that_pydicom_reads() -> None:
    compared = 0
    for path in [*files_below(of_pydicom()), *files_below(shared())]:
        try:
            header, ds = read_header(path), pydicom.dcmread(path, force=True)
        except (Damaged, EOFError, TypeError, AttributeError):
            continue
        for tag in Tag:
            group = ds.file_meta if tag < 0x30000 else ds
            if tag in SEQUENCES or tag not in group or group[tag].VR in BINARY:
                continue
            if group[tag].value not in (None, ""):
                assert value_of(header, tag, group[tag]) == wanted(group[tag]), (path.name, tag)
                compared += 1
    assert compared > 4000


def test_pixels_are_where_pydicom_finds_them(tmp_path: Path) -> None:
    (path,) = write(tmp_path, datasets(Series(1)))
    pixels = read_header(path).pixels
    assert pixels is not None
    stored = path.read_bytes()[pixels.offset : pixels.offset + pixels.length]
    assert stored == pydicom.dcmread(path).PixelData


def element(group: int, number: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    size = len(value) if length is None else length
    if vr in (b"SQ", b"UN", b"OW"):
        return struct.pack("<HH2sHI", group, number, vr, 0, size) + value
    return struct.pack("<HH2sH", group, number, vr, size) + value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x08\0",
        element(0x0008, 0x0060, b"CS", b"CT", length=60_000),
        element(0x0008, 0x1140, b"SQ", b"", length=0xFFFFFFF0),
        element(0x0008, 0x1140, b"SQ", b"nothing of an item", length=0xFFFFFFFF),
        element(0x0008, 0x1140, b"SQ", b"\xfe\xff\x00\xe0\xff\xff\xff\xff" * 900, 0xFFFFFFFF),
        b"\xfe\xff\x0d\xe0\0\0\0\0" * 3,
    ],
    ids=["nothing", "two bytes", "too long", "4 GB", "no item", "900 deep", "loose item"],
)
def test_broken_headers_are_damaged_and_nothing_else(body: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken"
    path.write_bytes(PREAMBLE + META + body)
    with pytest.raises(Damaged):
        read_header(path)


def test_a_damaged_header_still_says_to_which_series_it_belongs(tmp_path: Path) -> None:
    body = element(0x0020, 0x000E, b"UI", b"1.2.3\0") + element(0x0028, 0x0010, b"US", b"", 40)
    path = tmp_path / "broken"
    path.write_bytes(PREAMBLE + META + body)
    with pytest.raises(Damaged) as caught:
        read_header(path)
    assert caught.value.series_uid == b"1.2.3\0"


def test_a_deflate_bomb_is_not_inflated(tmp_path: Path) -> None:
    import zlib

    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = element(0x0009, 0x1001, b"UN", b"", length=1 << 31)
    packed = packer.compress(body) + b"".join(packer.compress(bytes(1 << 24)) for _ in range(5))
    path = tmp_path / "bomb"
    meta = META.replace(b"\x14\x001.2.840.10008.1.2.1\0", b"\x16\x001.2.840.10008.1.2.1.99")
    path.write_bytes(PREAMBLE + meta + packed + packer.flush())
    begun = time.perf_counter()
    with pytest.raises(Damaged):
        read_header(path)
    assert time.perf_counter() - begun < 0.5


@pytest.mark.parametrize(
    ("head", "is_dicom"),
    [
        (PREAMBLE, True),
        (b"\x08\0\x05\0CS\x0a\0ISO_IR 100", True),
        (b"\x08\0\x05\0\x0a\0\0\0ISO_IR 100", True),
        (b"\0\x08\0\x05CS\0\x0aISO_IR 100", True),
        (b"\x5c\x01\0\0" + bytes(400), False),
        (b"NRRD0004\ntype: short\n", False),
        (b"", False),
    ],
    ids=["preamble", "explicit", "implicit", "big endian", "NIfTI", "NRRD", "empty"],
)
def test_dicom_is_known_by_its_content(head: bytes, is_dicom: bool) -> None:
    assert looks_like_dicom(head) is is_dicom
