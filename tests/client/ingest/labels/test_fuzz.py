"""Bytes flipped in good files of every kind: read, or quarantined; nothing else, and at once."""

import gzip
import random
import time
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from labelled import OBLIQUE, circle, grid_of, on_slice, write_rtstruct, write_seg, written

from fedvox.client.ingest.labels.contours import read_outlines
from fedvox.client.ingest.labels.masks import paint_mask
from fedvox.client.ingest.labels.objects import references_of
from fedvox.client.ingest.labels.outlines import paint_outlines
from fedvox.client.ingest.labels.planes import paint_segmentation
from fedvox.client.ingest.labels.segmentation import read_segmentation
from fedvox.client.ingest.reasons import Quarantined
from fedvox.client.ingest.volumes.formats import read_volume
from fedvox.client.ingest.volumes.pictures import read_picture

GRID = grid_of(OBLIQUE)
WRITTEN = Path(__file__).parents[1] / "volumes" / "written_by_vtk"
LONGEST_S = 5.0


def _segmentation(path: Path) -> None:
    references_of(path)
    paint_segmentation(read_segmentation(path), GRID, {})


def _contours(path: Path) -> None:
    references_of(path)
    paint_outlines(read_outlines(path), GRID, {})


def _mask(path: Path) -> None:
    paint_mask(path, GRID, {})


@pytest.fixture(scope="module")
def good(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, tuple[Path, Callable[[Path], object]]]:
    folder = tmp_path_factory.mktemp("good")
    images = written(folder / "ct", OBLIQUE)
    masks = np.zeros((8, 40, 36, 2), np.uint8)
    masks[2:5, 5:20, 5:20, 0], masks[3:4, 5:9, 3:9, 1] = 1, 1
    write_seg(folder / "binary.dcm", images, masks)
    write_seg(folder / "map.dcm", images, masks.argmax(axis=3).astype(np.uint8), "LABELMAP")
    outlines = {
        name: [on_slice(OBLIQUE, circle(18, 20, 9, 12), at) for at in (2, 3.2)] for name in "ab"
    }
    write_rtstruct(folder / "rt.dcm", OBLIQUE, outlines)
    volume = SimpleITK.GetImageFromArray(np.arange(210, dtype=np.int16).reshape(7, 6, 5) % 4)
    for name in ("x.nrrd", "x.mha", "x.gipl", "y.nii"):
        SimpleITK.WriteImage(volume, str(folder / name), False)
    nibabel.save(nibabel.Nifti1Image(masks[..., 0].T, GRID.affine), folder / "mask.nii")
    (folder / "z.nii.gz").write_bytes(gzip.compress((folder / "y.nii").read_bytes()))
    from PIL import Image

    Image.fromarray(np.arange(900, dtype=np.uint8).reshape(30, 30)).save(folder / "p.png")
    readers: dict[str, Callable[[Path], object]] = {
        "binary.dcm": _segmentation, "map.dcm": _segmentation, "rt.dcm": _contours,
        "mask.nii": _mask, "p.png": read_picture,
    }  # fmt: skip
    found = {
        path.name: (path, readers.get(path.name, read_volume))
        for path in folder.iterdir()
        if path.is_file()
    }
    return found | {path.name: (path, read_volume) for path in WRITTEN.iterdir()}


def _flipped(raw: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, most of them in the header; or the end cut off."""
    changed = bytearray(raw)
    if rng.random() < 0.15:
        return bytes(changed[: rng.randrange(len(changed))])
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(min(len(changed), 600) if rng.random() < 0.5 else len(changed))
        changed[at] = rng.choice((rng.randrange(256), 0, 255, changed[at] ^ 1 << rng.randrange(8)))
    return bytes(changed)


def _fuzz(good: dict[str, tuple[Path, Callable[[Path], object]]], folder: Path, rounds: int) -> int:
    rng, refused = random.Random(20), 0
    for name, (path, read) in good.items():
        raw, target = path.read_bytes(), folder / name
        read(path)
        for _ in range(rounds):
            target.write_bytes(_flipped(raw, rng))
            started = time.perf_counter()
            try:
                read(target)
            except Quarantined:
                refused += 1
            assert time.perf_counter() - started < LONGEST_S, name
    return refused


def test_hundreds_of_damaged_files(good, tmp_path: Path):
    assert _fuzz(good, tmp_path, 25) > 50


@pytest.mark.slow
def test_ten_thousand_damaged_files(good, tmp_path: Path):
    assert _fuzz(good, tmp_path, 600) > 2000
