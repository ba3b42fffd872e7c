"""What names say."""

from pathlib import Path

import pytest

from fedvox.client.ingest.volumes.naming import distance, entities, named, patient_key, structure_of


@pytest.mark.parametrize(
    ("path", "key", "is_mask"),
    [
        ("x/p1.nii.gz", "p1", False),
        ("x/p1_mask.nii.gz", "p1", True),
        ("x/p1-Seg.nrrd", "p1", True),
        ("x/p1.seg.nrrd", "p1", True),
        ("x/p1_image.nrrd", "p1", False),
        ("x/image.nrrd", "x", False),
        ("x/mask.nrrd", "x", True),
        ("labelsTr/p1.nii", "p1", True),
        ("Labels/p1.nii", "p1", True),
        ("masks/p1/t1.nii", "t1", True),
        ("labels/p1/image.nii", "p1", False),
        ("segmentations/images/p1.nii", "p1", False),
        ("x/amasked.nii", "amasked", False),
        ("x/unlabel.nii", "unlabel", False),
        ("derivatives/x/sub-1/anat/sub-1_T1w.nii", "sub-1_T1w", True),
    ],
)
def test_masks_and_images(path: str, key: str, is_mask: bool):
    found = named(Path(path))
    assert (found.key, found.is_mask) == (key, is_mask)


@pytest.mark.parametrize(
    ("mask", "image", "structure"),
    [
        ("p1_mask.nii", "p1.nii", ""),
        ("p1_liver_mask.nii", "p1.nii", "liver"),
        ("p10_mask.nii", "p1.nii", None),
        ("p1_2_mask.nii", "p1.nii", None),
        ("p1.nii", "p1_0000.nii", ""),
        ("sub-1_dseg.nii", "sub-1_T1w.nii", ""),
        ("sub-1_label-gm_mask.nii", "sub-1_T1w.nii", "gm"),
        ("sub-1_ses-2_dseg.nii", "sub-1_ses-1_T1w.nii", None),
        ("sub-10_dseg.nii", "sub-1_T1w.nii", None),
    ],
)
def test_whose_mask_it_is(mask: str, image: str, structure: str | None):
    assert structure_of(named(Path(mask), is_mask=True), named(Path(image))) == structure


def test_nearness():
    image = named(Path("d/images/p1.nii"))
    places = ("d/images/p1_seg.nii", "d/labels/p1.nii", "d/p1_seg.nii", "e/f/p1_seg.nii")
    assert [distance(named(Path(place)), image) for place in places] == [0, 1, 2, 3]


def test_entities_and_patients():
    assert entities(Path("sub-01_ses-a_desc-x+y_T1w.nii.gz")) == {
        "sub": "01",
        "ses": "a",
        "desc": "x+y",
    }
    assert entities(Path("p1_ses-a.nii")) == {}
    assert [patient_key(key) for key in ("c_0000", "c_0012", "c_2023")] == ["c", "c_0012", "c_2023"]
