"""The tables of what is accepted, against the libraries that know the standard."""

from pydicom.pixels import get_decoder
from pydicom.uid import UID
from pynetdicom.sop_class import _STORAGE_CLASSES

from fedvox.client.pacs.classes import IMAGES, LABELS, STORED, SYNTAXES


def test_every_class_is_a_storage_class_of_the_standard() -> None:
    names = {str(uid): name for name, uid in _STORAGE_CLASSES.items()}
    assert all("ImageStorage" in names[uid] for uid in IMAGES)
    labels = {"SegmentationStorage", "LabelMapSegmentationStorage", "RTStructureSetStorage"}
    assert {names[uid] for uid in LABELS} == labels
    assert len(set(STORED)) == len(STORED) < 128  # what one association can ask for
    for stem in ("CT", "MR", "EnhancedCT", "EnhancedMR", "PositronEmissionTomography"):
        assert _STORAGE_CLASSES[f"{stem}ImageStorage"] in STORED


def test_every_encoding_can_be_decoded() -> None:
    assert len(set(SYNTAXES)) == len(SYNTAXES)
    for syntax in SYNTAXES:
        assert UID(syntax).is_transfer_syntax
        assert get_decoder(syntax).is_available, UID(syntax).name
