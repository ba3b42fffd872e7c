"""Faces: found by shape, taken out by a wedge that leaves the brain."""

import numpy as np
import numpy.typing as npt
import pytest
from nibabel.orientations import (
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)

from fedvox.client.deid.deface import CannotDeface, face_of, without_face
from fedvox.client.deid.heads import looks_like_head

SHAPE = (44, 56, 60)
SPACING = 4.0


class Head:
    """A head of ellipsoids at 4 mm: skull, brain, eyes, nose, chin and a neck; in RAS+."""

    def __init__(self, scale: float = 1.0) -> None:
        x, y, z = (np.indices(SHAPE) * SPACING).astype(np.float32)
        centre = np.array([86.0, 112.0, 140.0])

        def ellipsoid(offset: tuple[float, ...], radii: tuple[float, ...]) -> npt.NDArray[np.bool_]:
            at = centre + np.multiply(offset, scale)
            return (
                sum(
                    ((axis - place) / (radius * scale)) ** 2
                    for axis, place, radius in zip((x, y, z), at, radii, strict=True)
                )
                <= 1
            )  # type: ignore[return-value]

        self.skull = ellipsoid((0, 0, 0), (75, 92, 85))
        behind = centre[1] + 92 * scale - y
        below = centre[2] + 85 * scale - z
        # The floor of the skull rises to the front: above the orbits there is only frontal lobe.
        floor = np.where(behind < 85 * scale, 92 * scale + 0.45 * behind, np.inf)
        self.brain = ellipsoid((0, -2, 8), (68, 84, 70)) & (below < floor)
        self.eyes = ellipsoid((30, 74, -28), (12, 12, 12)) | ellipsoid((-30, 74, -28), (12, 12, 12))
        self.nose = ellipsoid((0, 92, -48), (10, 16, 20))
        self.chin = ellipsoid((0, 66, -95), (30, 26, 22))
        neck = (
            ((x - centre[0]) / (55 * scale)) ** 2
            + ((y - centre[1] + 25 * scale) / (55 * scale)) ** 2
            <= 1
        ) & (z < centre[2] - 40 * scale)
        body = self.skull | self.eyes | self.nose | self.chin | neck
        self.image = np.where(body, 40, -1000).astype(np.int16)[None]
        self.image[0][self.brain] = 60
        self.affine = np.diag([SPACING, SPACING, SPACING, 1.0])
        self.affine[:3, 3] = (-90.0, -100.0, -120.0)


@pytest.fixture(scope="module")
def head() -> Head:
    return Head()


def test_the_face_goes_and_the_brain_stays(head: Head) -> None:
    face = face_of(head.image, head.affine, "CT")
    for part in ("eyes", "nose", "chin"):
        assert face[getattr(head, part)].mean() > 0.9, part
    assert face[head.brain].mean() < 0.005
    assert face[head.skull].mean() < 0.2
    made = without_face(head.image, face)
    assert (made[0][face] == -1000).all()
    np.testing.assert_array_equal(made[0][~face], head.image[0][~face])
    assert head.image[0][head.nose].max() > 0  # the scan itself is left alone


@pytest.mark.parametrize("codes", ["LPS", "PIR", "SAL", "RAI"])
def test_it_is_the_same_however_the_voxels_lie(head: Head, codes: str) -> None:
    turn = ornt_transform(io_orientation(head.affine), axcodes2ornt(tuple(codes)))
    image = apply_orientation(head.image[0], turn)[None]
    affine = head.affine @ inv_ornt_aff(turn, SHAPE)
    expected = apply_orientation(face_of(head.image, head.affine, "CT"), turn)
    assert (face_of(image, affine, "CT") == expected).mean() > 0.9999


def test_a_childs_head_too() -> None:
    child = Head(0.75)
    face = face_of(child.image, child.affine, "CT")
    assert face[child.nose].mean() > 0.9 and face[child.brain].mean() < 0.005


def test_mr_is_told_from_air_without_units(head: Head) -> None:
    rng = np.random.default_rng(0)
    image = (head.image[0] > -500) * 400 + rng.normal(20, 5, SHAPE)
    face = face_of(image[None].astype(np.float32), head.affine, "MR")
    assert face[head.nose].mean() > 0.9 and face[head.brain].mean() < 0.01


def test_where_it_cannot_be_told_nothing_is_pretended(head: Head) -> None:
    top_gone, brain_only = head.image[..., :45], head.image[..., 30:]
    moved = head.affine.copy()
    moved[2, 3] += 30 * SPACING
    with pytest.raises(CannotDeface, match="vertex"):
        face_of(top_gone, head.affine, "CT")
    with pytest.raises(CannotDeface, match="above the face"):
        face_of(brain_only, moved, "CT")
    with pytest.raises(CannotDeface, match="CT and MR"):
        face_of(head.image, head.affine, "PT")
    with pytest.raises(CannotDeface):
        face_of(np.full((1, 8, 8, 8), -1000, np.int16), head.affine, "CT")


def test_heads_are_known_by_their_shape(head: Head) -> None:
    assert looks_like_head(head.image, head.affine, "CT")
    assert not looks_like_head(head.image, head.affine, "PT")
    assert not looks_like_head(head.image, head.affine @ np.diag([2.2, 2.2, 2.2, 1]), "CT")
    trunk = np.full((1, 90, 60, 120), -1000, np.int16)
    trunk[0, 5:85, 5:55] = 40
    assert not looks_like_head(trunk, np.diag([4.0, 4.0, 4.0, 1.0]), "CT")
    assert not looks_like_head(np.zeros((1, 64, 64, 2), np.int16), np.eye(4), "CT")
