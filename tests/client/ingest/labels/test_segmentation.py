"""DICOM segmentations against highdicom's own reader, and real ones of other makers."""

import os
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from dicom_series import Series
from labelled import OBLIQUE, grid_of, write_seg, written
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless, RLELossless

from fedvox.client.ingest.labels.label import OVERLAPS
from fedvox.client.ingest.labels.planes import paint_segmentation
from fedvox.client.ingest.labels.segmentation import read_segmentation
from fedvox.client.ingest.reasons import Quarantined, Reason

SHARED = Path(os.environ.get("FEDVOX_TEST_DATA") or Path(__file__).parents[5] / "shared" / "data")
DCMQI = SHARED / "dicom" / "dcmqi" / "data" / "segmentations"
STRAIGHT = Series(slices=6, rows=12, columns=10)


def _by_highdicom(path: Path, uids: list[str]) -> np.ndarray:
    """[x, y, z], where segments overlap the one with the highest number."""
    seg = hd.seg.segread(path)
    pixels = seg.get_pixels_by_source_instance(
        uids, assert_missing_frames_are_empty=True, ignore_spatial_locations=True
    )
    numbers = [n for n in seg.segment_numbers if n] if pixels.shape[3] > 0 else []
    kept = pixels[..., -len(numbers) :] > 0
    return (kept * np.array(numbers)).max(axis=3).transpose(2, 1, 0)


def _blobs(series: Series, segments: int, seed: int = 0) -> np.ndarray:
    """Masks [slice, row, column, segment] that overlap, with empty slices between."""
    rng = np.random.default_rng(seed)
    masks = rng.random((series.slices, series.rows, series.columns, segments)) < 0.3
    masks[[0, 3]] = False
    return masks.astype(np.uint8)


@pytest.mark.parametrize("series", [STRAIGHT, OBLIQUE], ids=["straight", "oblique"])
def test_binary_segments_with_gaps_and_overlaps(tmp_path: Path, series: Series):
    images = written(tmp_path / "ct", series)
    masks = _blobs(series, 3)
    write_seg(tmp_path / "seg.dcm", images, masks)
    label = paint_segmentation(read_segmentation(tmp_path / "seg.dcm"), grid_of(series), {})
    assert np.array_equal(
        label.map, _by_highdicom(tmp_path / "seg.dcm", [d.SOPInstanceUID for d in images])
    )
    assert np.array_equal(label.map, (masks * [1, 2, 3]).max(axis=3).transpose(2, 1, 0))
    assert label.names == {1: "s1", 2: "s2", 3: "s3"}
    assert label.flags == {OVERLAPS}


def test_fractions_of_a_half_and_more_are_inside(tmp_path: Path):
    images = written(tmp_path / "ct", STRAIGHT)
    fractions = np.random.default_rng(1).random((6, 12, 10)).astype(np.float32)
    fractions[0, 0, :3] = 0.49, 0.5, 0.51
    write_seg(
        tmp_path / "seg.dcm",
        images,
        fractions,
        "FRACTIONAL",
        max_fractional_value=200,
        names=["lung"],
    )
    label = paint_segmentation(read_segmentation(tmp_path / "seg.dcm"), grid_of(STRAIGHT), {})
    uids = [ds.SOPInstanceUID for ds in images]
    theirs = hd.seg.segread(tmp_path / "seg.dcm").get_pixels_by_source_instance(
        uids, rescale_fractional=True, ignore_spatial_locations=True
    )
    assert np.array_equal(label.map, (theirs[..., 0] >= 0.5).transpose(2, 1, 0))
    assert np.abs(label.map.mean() - 0.5) < 0.05
    assert label.map[:3, 0, 0].tolist() == [0, 1, 1]
    assert label.names == {1: "lung"}


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEG2000Lossless])
def test_label_maps_plain_and_compressed(tmp_path: Path, syntax: str | None):
    images = written(tmp_path / "ct", OBLIQUE)
    masks = _blobs(OBLIQUE, 1)[..., 0] * np.random.default_rng(2).integers(
        1, 5, (8, 40, 36), np.uint8
    )
    more = {"transfer_syntax_uid": syntax} if syntax else {}
    write_seg(tmp_path / "seg.dcm", images, masks, "LABELMAP", **more)
    label = paint_segmentation(read_segmentation(tmp_path / "seg.dcm"), grid_of(OBLIQUE), {})
    assert np.array_equal(label.map, masks.transpose(2, 1, 0))
    assert label.names == {1: "s1", 2: "s2", 3: "s3", 4: "s4"}
    assert label.flags == frozenset()


def test_names_and_numbers_choose_values_and_leave_the_rest_out(tmp_path: Path):
    images = written(tmp_path / "ct", STRAIGHT)
    masks = _blobs(STRAIGHT, 3)
    write_seg(tmp_path / "seg.dcm", images, masks, names=["Liver", "Tumour", "Couch"])
    segmentation = read_segmentation(tmp_path / "seg.dcm")
    label = paint_segmentation(segmentation, grid_of(STRAIGHT), {"liver": 1, "2": 4})
    expected = np.maximum(masks[..., 0], 4 * masks[..., 1]).transpose(2, 1, 0)
    assert np.array_equal(label.map, expected)
    assert label.names == {1: "Liver", 4: "Tumour"}
    with pytest.raises(Quarantined) as why:
        paint_segmentation(segmentation, grid_of(STRAIGHT), {"kidney": 1})
    assert why.value.reason is Reason.LABEL_VALUE


def test_two_structures_may_be_one_class(tmp_path: Path):
    images = written(tmp_path / "ct", STRAIGHT)
    masks = _blobs(STRAIGHT, 2)
    write_seg(tmp_path / "seg.dcm", images, masks, names=["left", "right"])
    label = paint_segmentation(
        read_segmentation(tmp_path / "seg.dcm"), grid_of(STRAIGHT), {"left": 1, "right": 1}
    )
    assert np.array_equal(label.map, masks.max(axis=3).transpose(2, 1, 0))
    assert label.names == {1: "left + right"}
    assert label.flags == frozenset()


def _damage(path: Path, change) -> Path:
    ds = dcmread(path)
    change(ds)
    ds.save_as(path)
    return path


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda ds: setattr(ds, "PixelData", ds.PixelData[:4]), Reason.PIXEL_DATA_DAMAGED),
        (lambda ds: setattr(ds, "NumberOfFrames", 1_000_000_000), Reason.UNREADABLE),
        (lambda ds: (setattr(ds, "Rows", 65535), setattr(ds, "Columns", 65535)), Reason.TOO_LARGE),
        (lambda ds: setattr(ds, "Rows", 0), Reason.EMPTY),
        (lambda ds: delattr(ds, "PixelData"), Reason.PIXEL_DATA_DAMAGED),
        (lambda ds: delattr(ds, "SegmentSequence"), Reason.EMPTY),
        (lambda ds: setattr(ds, "SegmentationType", "VECTOR"), Reason.UNREADABLE),
        (
            lambda ds: delattr(ds.PerFrameFunctionalGroupsSequence[0], "PlanePositionSequence"),
            Reason.NO_GEOMETRY,
        ),
        (lambda ds: setattr(ds.SegmentSequence[0], "SegmentNumber", 7), Reason.UNREADABLE),
    ],
)
def test_damaged_files_have_a_reason(tmp_path: Path, change, reason: Reason):
    images = written(tmp_path / "ct", STRAIGHT)
    write_seg(tmp_path / "seg.dcm", images, _blobs(STRAIGHT, 1))
    with pytest.raises(Quarantined) as why:
        segmentation = read_segmentation(_damage(tmp_path / "seg.dcm", change))
        paint_segmentation(segmentation, grid_of(STRAIGHT), {})
    assert why.value.reason is reason


def test_damaged_compression_has_a_reason(tmp_path: Path):
    images = written(tmp_path / "ct", OBLIQUE)
    masks = _blobs(OBLIQUE, 1)[..., 0]
    write_seg(tmp_path / "seg.dcm", images, masks, "LABELMAP", transfer_syntax_uid=JPEG2000Lossless)
    raw = (tmp_path / "seg.dcm").read_bytes()
    assert b"\xff\x4f\xff\x51" in raw
    (tmp_path / "seg.dcm").write_bytes(raw.replace(b"\xff\x4f\xff\x51", bytes(4)))
    with pytest.raises(Quarantined) as why:
        paint_segmentation(read_segmentation(tmp_path / "seg.dcm"), grid_of(OBLIQUE), {})
    assert why.value.reason is Reason.PIXEL_DATA_DAMAGED


@pytest.mark.skipif(
    not DCMQI.is_dir(), reason="no shared data here: ../shared/data or FEDVOX_TEST_DATA"
)
@pytest.mark.parametrize(
    ("name", "images"),
    [
        ("liver.dcm", "ct-3slice"),
        ("partial_overlaps.dcm", "ct-3slice"),
        ("24x38x3/seg/label.seg", "24x38x3/image"),
        ("23x38x3/seg/label.seg", "23x38x3/image"),
        ("sparse-labelmap-noppv.dcm", "24x38x3/image"),
        ("sparse-labelmap-ppv5.dcm", "24x38x3/image"),
    ],
)
def test_segmentations_of_dcmqi(name: str, images: str):
    from fedvox.client.ingest.labels.grid import Grid
    from fedvox.client.ingest.reading.find import find, load

    scan = load(find([DCMQI / images]).scans[0])
    x, y, z = scan.image.shape[1:]
    label = paint_segmentation(read_segmentation(DCMQI / name), Grid((x, y, z), scan.affine), {})
    assert label.map.any()
    assert np.array_equal(label.map, _by_highdicom(DCMQI / name, list(scan.sop_uids)))
