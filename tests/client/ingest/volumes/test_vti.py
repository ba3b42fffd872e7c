"""VTI: files that VTK 9 wrote, in each way it can, and those that are traps."""

import time
from pathlib import Path

import numpy as np
import pytest

from fedvox.client.ingest.reasons import Quarantined, Reason
from fedvox.client.ingest.volumes.formats import read_volume

WRITTEN = Path(__file__).parent / "written_by_vtk"
VOXELS = (np.arange(24) * 37 - 200).astype(np.int16).reshape(2, 3, 4).T[None]
LAST_LPS = (10.546444113704391, -16.69071022263117, 32.5)
"""Where VTK's TransformIndexToPhysicalPoint put voxel (3, 2, 1)."""
PLAIN = """<?xml version="1.0"?>
<VTKFile type="ImageData" version="1.0" byte_order="LittleEndian">
<ImageData WholeExtent="{extent}" Origin="1 2 3" Spacing="1 1 2"><Piece Extent="{extent}">
{data}</Piece></ImageData></VTKFile>"""
ARRAY = '<DataArray type="Int16" Name="a" format="ascii">{}</DataArray>'


@pytest.mark.parametrize("path", sorted(WRITTEN.iterdir()), ids=lambda path: path.stem)
def test_what_vtk_writes(path: Path):
    raster = read_volume(path)
    assert np.array_equal(raster.voxels, VOXELS)
    lps = (np.diag([-1.0, -1, 1, 1]) @ raster.affine @ [3, 2, 1, 1])[:3]
    assert np.abs(lps - LAST_LPS).max() < 1e-6


def _write(path: Path, extent: str, data: str, head: str = "") -> Path:
    text = PLAIN.format(extent=extent, data=data)
    path.write_text(text.replace("<VTKFile", head + "<VTKFile", 1))
    return path


def test_values_of_cells_lie_between_the_points(tmp_path: Path):
    data = f"<CellData>{ARRAY.format('1 2 3 4')}</CellData>"
    raster = read_volume(_write(tmp_path / "x.vti", "5 7 0 2 0 1", data))
    assert raster.voxels.tolist() == [[[[1], [3]], [[2], [4]]]]
    assert raster.affine[:3, 3].tolist() == [-6.5, -2.5, 4]


def _reason(path: Path) -> Reason:
    started = time.perf_counter()
    with pytest.raises(Quarantined) as why:
        read_volume(path)
    assert time.perf_counter() - started < 1
    return why.value.reason


LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "ha">'
    + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "]>"
)


@pytest.mark.parametrize(
    ("head", "data", "reason"),
    [
        (LAUGHS, f"<PointData>{ARRAY.format('&i;')}</PointData>", Reason.UNREADABLE),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd">', "", Reason.UNREADABLE),
        ("", "<a>" * 100 + "</a>" * 100, Reason.UNREADABLE),
        ("", "<a/>" * 20_000, Reason.UNREADABLE),
        ("", f"<PointData>{ARRAY.format('1 2 3')}</PointData>", Reason.PIXEL_DATA_DAMAGED),
        ("", f"<PointData>{ARRAY.format('1 2 x 4 5 6 7 8')}</PointData>", Reason.UNREADABLE),
        ("", "<PointData/>", Reason.EMPTY),
        ("", "<PointData>", Reason.UNREADABLE),
    ],
)
def test_traps(tmp_path: Path, head: str, data: str, reason: Reason):
    assert _reason(_write(tmp_path / "x.vti", "0 1 0 1 0 1", data, head)) is reason


@pytest.mark.parametrize(
    ("extent", "reason"),
    [
        ("0 99999 0 99999 0 99999", Reason.TOO_LARGE),
        ("0 999 0 999 0 99", Reason.PIXEL_DATA_DAMAGED),
        ("0 1 0 1 0 nan", Reason.UNREADABLE),
        ("0 1 0 1 1e300 0", Reason.UNREADABLE),
        ("0 1 0 1", Reason.UNREADABLE),
    ],
)
def test_extents_that_cannot_be(tmp_path: Path, extent: str, reason: Reason):
    data = f"<PointData>{ARRAY.format('1 2 3 4 5 6 7 8')}</PointData>"
    assert _reason(_write(tmp_path / "x.vti", extent, data)) is reason


def test_files_cut_short_anywhere(tmp_path: Path):
    for path in WRITTEN.iterdir():
        whole = path.read_bytes()
        for length in range(0, len(whole) - 120, 41):
            (tmp_path / "x.vti").write_bytes(whole[:length])
            with pytest.raises(Quarantined):
                read_volume(tmp_path / "x.vti")
