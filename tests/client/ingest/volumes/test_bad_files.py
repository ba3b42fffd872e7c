"""Damaged, lying and hostile files: a reason each, at once, and no memory."""

import gzip
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.volumes.formats import read_volume

NRRD = "NRRD0004\ntype: {type}\ndimension: 3\nsizes: {sizes}\nencoding: {encoding}\nendian: little\n{more}\n"
META = (
    "ObjectType = Image\nNDims = 3\nDimSize = {sizes}\nElementType = MET_SHORT\n{more}"
    "ElementDataFile = {file}\n"
)


def reason_of(path: Path, mebibytes: float = 8) -> Reason:
    tracemalloc.start()
    started = time.perf_counter()
    try:
        with pytest.raises(Quarantined) as why:
            read_volume(path)
        assert tracemalloc.get_traced_memory()[1] < mebibytes * 2**20
        assert time.perf_counter() - started < 2
    finally:
        tracemalloc.stop()
    return why.value.reason


def _nifti(path: Path, **fields: object) -> Path:
    """A good NIfTI file with some header fields overwritten."""
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4))
    raw = bytearray(image.to_bytes())
    for name, value in fields.items():
        at, form = {
            "dim": (40, "<8h"), "datatype": (70, "<h"), "offset": (108, "<f"), "srow": (280, "<12f"),
            "size": (0, "<i"), "magic": (344, "4s"), "pixdim": (76, "<8f"),
        }[name]  # fmt: skip
        struct.pack_into(form, raw, at, *(value if isinstance(value, tuple) else (value,)))
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"dim": (3, 32767, 32767, 32767, 1, 1, 1, 1)}, Reason.TOO_LARGE),
        ({"dim": (3, 1000, 1000, 900, 1, 1, 1, 1)}, Reason.PIXEL_DATA_DAMAGED),
        ({"dim": (3, 4, 0, 6, 1, 1, 1, 1)}, Reason.EMPTY),
        ({"dim": (3, 4, -5, 6, 1, 1, 1, 1)}, Reason.UNREADABLE),
        ({"dim": (9, 4, 5, 6, 1, 1, 1, 1)}, Reason.UNREADABLE),
        ({"dim": (5, 2, 2, 2, 3, 5, 1, 1)}, Reason.UNREADABLE),
        ({"datatype": 1234}, Reason.UNREADABLE),
        ({"datatype": 32}, Reason.UNREADABLE),
        ({"offset": 1e9}, Reason.PIXEL_DATA_DAMAGED),
        ({"offset": float("nan")}, Reason.UNREADABLE),
        ({"offset": -5000.0}, Reason.UNREADABLE),
        ({"offset": float("inf")}, Reason.UNREADABLE),
        ({"srow": (float("nan"),) * 12}, Reason.NO_GEOMETRY),
        ({"srow": (0.0,) * 12}, Reason.NO_GEOMETRY),
        ({"srow": (1.0, 0, 0, 0, 1.0, 0, 0, 0, 0, 0, 1.0, 0)}, Reason.NO_GEOMETRY),
        ({"srow": (1e9, 0, 0, 0, 0, 1.0, 0, 0, 0, 0, 1.0, 0)}, Reason.NO_GEOMETRY),
        ({"magic": b"ni1\0"}, Reason.UNREADABLE),
        ({"size": 77}, Reason.UNREADABLE),
    ],
)
def test_nifti_headers(tmp_path: Path, name: str, fields: dict[str, object], reason: Reason):
    assert reason_of(_nifti(tmp_path / name, **fields)) is reason


def test_the_nifti_file_that_was_overwritten_was_good(tmp_path: Path):
    assert read_volume(_nifti(tmp_path / "x.nii.gz")).voxels.shape == (1, 4, 5, 6)


def test_a_gzip_bomb_costs_no_more_than_what_it_declares(tmp_path: Path):
    head = _nifti(tmp_path / "x.nii", dim=(3, 100, 100, 50, 1, 1, 1, 1)).read_bytes()[:352]
    packer = zlib.compressobj(9, wbits=31)
    with (tmp_path / "x.nii.gz").open("wb") as file:
        file.write(packer.compress(head))
        for _ in range(300):
            file.write(packer.compress(bytes(1 << 20)))
        file.write(packer.flush())
    tracemalloc.start()
    assert read_volume(tmp_path / "x.nii.gz").voxels.shape == (1, 100, 100, 50)
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


def test_a_damaged_byte_in_a_gzip_file_is_noticed(tmp_path: Path):
    values = np.random.default_rng(0).integers(0, 99, (9, 9, 9)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "x.nii.gz")
    raw = bytearray((tmp_path / "x.nii.gz").read_bytes())
    raw[-5] ^= 1  # in the checksum
    (tmp_path / "x.nii.gz").write_bytes(raw)
    assert reason_of(tmp_path / "x.nii.gz") is Reason.PIXEL_DATA_DAMAGED
    (tmp_path / "x.nii.gz").write_bytes(raw[:-9])
    assert reason_of(tmp_path / "x.nii.gz") is Reason.PIXEL_DATA_DAMAGED


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"sizes": "99999 99999 99999"}, Reason.TOO_LARGE),
        ({"sizes": "900 900 900"}, Reason.PIXEL_DATA_DAMAGED),
        ({"sizes": "900 900 900", "encoding": "gzip"}, Reason.PIXEL_DATA_DAMAGED),
        ({"sizes": "900 900 900", "encoding": "ascii"}, Reason.PIXEL_DATA_DAMAGED),
        ({"sizes": "2 2"}, Reason.UNREADABLE),
        ({"sizes": "2 x 2"}, Reason.UNREADABLE),
        ({"sizes": "2 0 2"}, Reason.EMPTY),
        ({"sizes": "-2 -2 2"}, Reason.UNREADABLE),
        ({"type": "block"}, Reason.UNREADABLE),
        ({"encoding": "bzip2"}, Reason.UNSUPPORTED_TRANSFER_SYNTAX),
        ({"more": "space directions: (1,0,0) (0,1,0) (0,1,0)\n"}, Reason.NO_GEOMETRY),
        ({"more": "space directions: (1,0,0) (0,nan,0) (0,0,1)\n"}, Reason.NO_GEOMETRY),
        ({"more": "space directions: (1,0,0) (0,1) (0,0,1)\n"}, Reason.NO_GEOMETRY),
        ({"more": "spacings: 1 1 0\n"}, Reason.NO_GEOMETRY),
        ({"more": "data file: /etc/passwd\n"}, Reason.UNREADABLE),
        ({"more": "data file: ../secret.raw\n"}, Reason.UNREADABLE),
        ({"more": "data file: link.raw\n"}, Reason.UNREADABLE),
        ({"more": "data file: x%03d.raw 1 9 1\n"}, Reason.UNREADABLE),
        ({"more": "data file: LIST\n"}, Reason.UNREADABLE),
        ({"more": "data file: gone.raw\n"}, Reason.UNREADABLE),
        ({"more": "byte skip: 1000000\n"}, Reason.PIXEL_DATA_DAMAGED),
    ],
)
def test_nrrd_headers(tmp_path: Path, fields: dict[str, str], reason: Reason):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret.raw").write_bytes(bytes(100))
    (folder / "link.raw").symlink_to(tmp_path / "secret.raw")
    said = {"type": "uchar", "sizes": "2 2 2", "encoding": "raw", "more": "", **fields}
    (folder / "x.nrrd").write_bytes(NRRD.format(**said).encode() + bytes(8))
    assert reason_of(folder / "x.nrrd") is reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"sizes": "99999 99999 99999"}, Reason.TOO_LARGE),
        ({"sizes": "900 900 900"}, Reason.PIXEL_DATA_DAMAGED),
        ({"sizes": "900 900 900", "more": "CompressedData = True\n"}, Reason.PIXEL_DATA_DAMAGED),
        ({"sizes": "2 2 2", "more": "CompressedData = True\n"}, Reason.PIXEL_DATA_DAMAGED),
        ({"sizes": "2 2"}, Reason.UNREADABLE),
        ({"more": "ElementSpacing = 1 1\n"}, Reason.NO_GEOMETRY),
        ({"more": "TransformMatrix = 1 0 0 0 1 0 0 1 0\n"}, Reason.NO_GEOMETRY),
        ({"more": "ElementNumberOfChannels = -4\n"}, Reason.UNREADABLE),
        ({"file": "/etc/passwd"}, Reason.UNREADABLE),
        ({"file": "../secret.raw"}, Reason.UNREADABLE),
        ({"file": "link.raw"}, Reason.UNREADABLE),
        ({"file": "LIST"}, Reason.UNREADABLE),
        ({"file": "x%d.raw 1 5 1"}, Reason.UNREADABLE),
        ({"file": "\0.raw"}, Reason.UNREADABLE),
    ],
)
def test_metaimage_headers(tmp_path: Path, fields: dict[str, str], reason: Reason):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret.raw").write_bytes(bytes(100))
    (folder / "link.raw").symlink_to(tmp_path / "secret.raw")
    said = {"sizes": "2 2 2", "file": "LOCAL", "more": "", **fields}
    (folder / "x.mhd").write_bytes(META.format(**said).encode() + bytes(16))
    assert reason_of(folder / "x.mhd") is reason


def test_gipl_headers(tmp_path: Path):
    SimpleITK.WriteImage(
        SimpleITK.GetImageFromArray(np.zeros((4, 5, 6), np.int16)), str(tmp_path / "x.gipl")
    )
    good = (tmp_path / "x.gipl").read_bytes()
    for change, reason in (
        (lambda raw: struct.pack_into(">4H", raw, 0, 65535, 65535, 9, 1), Reason.TOO_LARGE),
        (lambda raw: struct.pack_into(">4H", raw, 0, 900, 900, 9, 1), Reason.PIXEL_DATA_DAMAGED),
        (lambda raw: struct.pack_into(">4H", raw, 0, 0, 0, 0, 0), Reason.EMPTY),
        (lambda raw: struct.pack_into(">H", raw, 8, 192), Reason.UNREADABLE),
        (lambda raw: struct.pack_into(">f", raw, 10, float("nan")), Reason.NO_GEOMETRY),
        (lambda raw: raw.__delitem__(slice(-40, None)), Reason.PIXEL_DATA_DAMAGED),
        (lambda raw: struct.pack_into(">I", raw, 252, 1), Reason.UNREADABLE),
    ):
        raw = bytearray(good)
        change(raw)
        (tmp_path / "x.gipl").write_bytes(raw)
        assert reason_of(tmp_path / "x.gipl") is reason
    (tmp_path / "x.gipl.gz").write_bytes(gzip.compress(good))
    assert read_volume(tmp_path / "x.gipl.gz").voxels.shape == (1, 6, 5, 4)


@pytest.mark.parametrize(
    "content", [b"", b"\x1f\x8b", b"NRRD0004", b"%PDF-1.4", bytes(348), b"n+1\0" * 99]
)
def test_what_is_no_volume(tmp_path: Path, content: bytes):
    (tmp_path / "x.nii").write_bytes(content)
    assert reason_of(tmp_path / "x.nii") is Reason.UNREADABLE


def test_a_file_that_is_not_there(tmp_path: Path):
    assert reason_of(tmp_path / "x.nii") is Reason.UNREADABLE
