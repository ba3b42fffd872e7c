"""DICOM files with an identifier in every kind of place, each one of its own."""

from dataclasses import dataclass, field
from pathlib import Path

from dicom_series import Series, datasets
from pydicom.dataset import Dataset, FileDataset
from pydicom.fileset import FileSet
from pydicom.sequence import Sequence as Items

_TEXTS = (
    "PatientID", "IssuerOfPatientID", "OtherPatientIDs", "PatientAddress",
    "PatientTelephoneNumbers", "PatientComments", "AdditionalPatientHistory",
    "MedicalRecordLocator", "EthnicGroup", "Occupation", "MilitaryRank", "BranchOfService",
    "PatientReligiousPreference", "StudyID", "AccessionNumber", "StudyDescription",
    "SeriesDescription", "ProtocolName", "InstitutionName", "InstitutionAddress",
    "InstitutionalDepartmentName", "StationName", "DeviceSerialNumber", "Manufacturer",
    "ManufacturerModelName", "SoftwareVersions", "ImageComments", "DerivationDescription",
    "AdmissionID", "RequestedProcedureID", "RequestedProcedureDescription",
    "PerformedProcedureStepDescription", "CurrentPatientLocation", "RegionOfResidence",
    "BodyPartExamined", "ConvolutionKernel", "DataSetName", "VisitComments",
)  # fmt: skip
_NAMES = (
    "PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName",
    "ResponsiblePerson", "ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName",
    "NameOfPhysiciansReadingStudy", "RequestingPhysician", "PhysiciansOfRecord",
)  # fmt: skip
_DATES = ("PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")


@dataclass
class Planted:
    """What was planted, by place."""

    words: dict[str, str] = field(default_factory=dict)

    def word(self, place: str) -> str:
        """A word that stands nowhere else."""
        return self.words.setdefault(place, f"QX{len(self.words):03d}ZKJ")

    def date(self, place: str) -> str:
        return self.words.setdefault(
            place, f"19{31 + len(self.words) % 9}07{10 + len(self.words) % 18}"
        )

    def uid(self, place: str) -> str:
        return self.words.setdefault(place, f"1.2.276.0.7230010.{7770001 + len(self.words)}")

    def found_in(self, content: bytes) -> list[str]:
        """The places whose identifier stands in some bytes, in whatever case."""
        lower = content.lower()
        return [place for place, word in self.words.items() if word.lower().encode() in lower]

    def found_below(self, folder: Path) -> list[str]:
        """As found_in, for every file below a folder and its name."""
        content = b"".join(
            str(path.relative_to(folder)).encode()
            + b"\n"
            + (path.read_bytes() if path.is_file() else b"")
            for path in folder.rglob("*")
        )
        return self.found_in(content)


def plant(ds: FileDataset, planted: Planted, index: int) -> None:
    """Puts an identifier into every kind of place of one slice."""
    for keyword in _TEXTS:
        if keyword != "DataSetName":
            setattr(ds, keyword, planted.word(keyword))
    for keyword in _NAMES:
        setattr(ds, keyword, f"{planted.word(keyword)}^{planted.word(f'{keyword} given')}")
    for keyword in _DATES:
        setattr(ds, keyword, planted.date(keyword))
    ds.AcquisitionDateTime = planted.date("AcquisitionDateTime") + "101112.5"
    for keyword in _UIDS:
        setattr(ds, keyword, planted.uid(keyword))
    ds.SOPInstanceUID = f"{planted.uid('SOPInstanceUID')}.{index + 1}"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.SourceApplicationEntityTitle = planted.word("meta: source AE")
    ds.file_meta.PrivateInformationCreatorUID = "1.2.3.4"
    ds.file_meta.PrivateInformation = planted.word("meta: private").encode() + b" "
    ds.preamble = planted.word("preamble").encode().ljust(128, b"\0")
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", planted.word("ImageType")]
    _plant_private(ds, planted)
    _plant_nested(ds, planted)
    ds.add_new(0x60000010, "US", 4)
    ds.add_new(0x60004000, "LT", planted.word("overlay comments"))
    ds.add_new(0x00189FFF, "UN", planted.word("unknown VR").encode() + b" ")
    ds.add_new(0xFFFCFFFC, "OB", planted.word("trailing padding").encode() + b" ")


def _plant_private(ds: Dataset, planted: Planted) -> None:
    block = ds.private_block(0x0009, "A MAKER", create=True)
    block.add_new(0x01, "LO", planted.word("private text"))
    block.add_new(0x02, "OB", planted.word("private bytes").encode() + b" ")
    inner = Dataset()
    inner.PatientName = planted.word("private sequence")
    block.add_new(0x03, "SQ", Items([inner]))


def _plant_nested(ds: Dataset, planted: Planted) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "T-1", "SRT"
    code.CodeMeaning = planted.word("code meaning")
    local = Dataset()
    local.CodeValue, local.CodingSchemeDesignator = planted.word("local code"), "99LOCAL"
    local.CodeMeaning = planted.word("local code meaning")
    deep = Dataset()
    deep.PersonName = planted.word("three deep: name")
    deep.TextValue = planted.word("three deep: text")
    deep.ReferencedSOPInstanceUID = planted.uid("three deep: UID")
    deep.add_new(0x00111001, "LO", planted.word("three deep: private"))
    middle = Dataset()
    middle.InstitutionName = planted.word("two deep: institution")
    middle.ReferencedImageSequence = Items([deep])
    middle.PurposeOfReferenceCodeSequence = Items([local])
    outer = Dataset()
    outer.ReferencedSOPInstanceUID = planted.uid("nested UID")
    outer.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    outer.SourceImageSequence = Items([middle])
    outer.ImageComments = planted.word("nested comment")
    ds.ReferencedImageSequence = Items([outer])
    ds.ProcedureCodeSequence = Items([code])
    ds.AnatomicRegionSequence = Items([local])
    request = Dataset()
    request.RequestedProcedureID = planted.word("request: procedure")
    request.ScheduledProcedureStepDescription = planted.word("request: description")
    ds.RequestAttributesSequence = Items([request])
    original = Dataset()
    original.ModifiedAttributesSequence = Items([Dataset()])
    original.ModifiedAttributesSequence[0].PatientName = planted.word("original name")
    original.ModifyingSystem = planted.word("original system")
    ds.OriginalAttributesSequence = Items([original])


def planted_export(folder: Path, slices: int = 4) -> Planted:
    """An export folder: a CT series, a DICOMDIR, a screenshot, a report, a damaged file."""
    planted = Planted()
    source = datasets(Series(slices, 24, 20))
    for index, ds in enumerate(source):
        plant(ds, planted, index)
    series = folder / planted.word("folder name")
    series.mkdir(parents=True)
    paths = []
    for index, ds in enumerate(source):
        path = series / f"{planted.word('file name')}-{index}.dcm"
        ds.save_as(path, enforce_file_format=True)
        paths.append(path)
    _dicomdir(folder, paths, planted)
    capture = source[0].copy()
    capture.file_meta.MediaStorageSOPClassUID = capture.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    capture.SOPInstanceUID = planted.uid("capture UID")
    capture.file_meta.MediaStorageSOPInstanceUID = capture.SOPInstanceUID
    capture.save_as(series / f"{planted.word('capture file name')}.dcm", enforce_file_format=True)
    (folder / f"{planted.word('report file name')}.txt").write_text(planted.word("report text"))
    whole = paths[0].read_bytes()
    (folder / f"{planted.word('damaged file name')}.dcm").write_bytes(whole[: len(whole) // 2])
    return planted


def _dicomdir(folder: Path, paths: list[Path], planted: Planted) -> None:
    """A DICOMDIR with what it lists; pydicom makes one from a folder of its own."""
    index = FileSet()
    index.ID = planted.word("DICOMDIR id")[:16]
    for path in paths:
        index.add(path)
    made = folder / "media"
    index.write(made)
