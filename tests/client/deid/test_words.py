"""Which words may be kept."""

import pytest
from pydicom.dataset import Dataset

from fedvox.client.deid.words import cleaned, is_anatomical, is_code, known_scheme, names_in


def test_the_names_of_a_file_are_gathered_at_every_depth() -> None:
    inner, ds = Dataset(), Dataset()
    inner.PersonName = "Miller^Ann"
    ds.PatientName, ds.PatientID, ds.InstitutionName = "Doe^Jane^Q", "MRN-4711", "St. Elsewhere"
    ds.ReferencedImageSequence = [inner]
    ds.StudyDescription = "liver"
    assert names_in(ds) == {"doe", "jane", "mrn", "4711", "elsewhere", "miller", "ann"}


@pytest.mark.parametrize(
    ("keyword", "text", "kept"),
    [
        ("BodyPartExamined", "HEAD", "HEAD"),
        ("BodyPartExamined", "C SPINE", "CSPINE"),
        ("BodyPartExamined", "DOE", ""),
        ("ImageType", "AXIAL", "AXIAL"),
        ("ImageType", "CT_SOM5 SPI", "CT_SOM5 SPI"),
        ("ImageType", "MUSTERMANN", ""),
        ("ConvolutionKernel", "B30f", "B30f"),
        ("ConvolutionKernel", "STANDARD", "STANDARD"),
        ("ConvolutionKernel", "Jane", ""),
        ("RescaleType", "HU", "HU"),
        ("RescaleType", "DOE", ""),
        ("StackID", "1", "1"),
        ("StackID", "4711-99", ""),
        ("SegmentLabel", "left kidney", "left kidney"),
        ("SegmentLabel", "Liver Doe", ""),
        ("SegmentLabel", "case 4711993", ""),
        ("ROIName", "GTV_1", "GTV_1"),
        ("ROIName", "Mustermann", ""),
        ("Manufacturer", "SIEMENS", "Siemens"),
        ("Manufacturer", "Jane Doe", "other"),
    ],
)
def test_what_is_known_stays(keyword: str, text: str, kept: str) -> None:
    assert cleaned(keyword, text, {"doe", "jane"}) == kept


def test_a_structure_that_bears_the_patients_name_does_not_stay() -> None:
    assert is_anatomical("Head")
    assert cleaned("SegmentLabel", "Head", {"head"}) == ""


def test_codes() -> None:
    assert known_scheme("SCT") and not known_scheme("99DOE")
    assert is_code("T-62000") and not is_code("Jane Doe") and not is_code("x" * 17)
