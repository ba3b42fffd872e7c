"""De-identified copies of a folder: nothing that names anybody, and images that still work."""

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from command import fedvox
from dicom_series import Series, datasets, write
from planted import planted_export
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from fedvox.client.deid.folder import Report, deidentify_folder
from fedvox.client.deid.profile import Options
from fedvox.client.deid.sitekey import SiteKey
from fedvox.common.errors import InputError

KEY = SiteKey(bytes(range(32)))
DEVICE = {
    "StationName",
    "DeviceSerialNumber",
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
}


def deid(source: Path, target: Path, options: Options | None = None) -> Report:
    return deidentify_folder(source, target, KEY, options or Options())


def written(target: Path) -> list[Dataset]:
    found = [pydicom.dcmread(path) for path in sorted(target.rglob("*.dcm"))]
    return sorted(found, key=lambda ds: float(ds.ImagePositionPatient[2]))


@pytest.mark.parametrize("kept", [[], ["device"], ["patient", "dates"]])
def test_of_a_hundred_identifiers_none_is_left(tmp_path: Path, kept: list[str]) -> None:
    planted = planted_export(tmp_path / "in")
    assert len(planted.words) >= 60
    assert set(planted.found_below(tmp_path / "in")) == set(planted.words)
    words = [word for one in kept for word in ("--keep", one)]
    said = fedvox(
        "site", "deid", tmp_path / "in", tmp_path / "out", "--home", tmp_path / "home", *words
    )
    assert said.status == 0, said.err
    allowed = DEVICE if "device" in kept else set()
    assert set(planted.found_below(tmp_path / "out")) == allowed
    assert planted.found_below(tmp_path / "home") == []
    assert planted.found_in((said.out + said.err).encode()) == []
    assert len(written(tmp_path / "out")) == 4
    assert not list((tmp_path / "out").rglob("DICOMDIR"))


def test_the_report_counts_and_names_nobody(tmp_path: Path) -> None:
    planted = planted_export(tmp_path / "in")
    said = fedvox(
        "site", "deid", tmp_path / "in", tmp_path / "out", "--home", tmp_path / "home", "--json"
    )
    report = json.loads(said.out.splitlines()[-1])
    assert report == json.loads((tmp_path / "out" / "deid-report.json").read_text())
    assert (report["files_read"], report["files_written"], report["repeated"]) == (12, 8, 4)
    assert report["refused"] == {"not-an-image": 3, "secondary-capture": 1}
    assert report["actions"]["removed"] > 400
    assert report["unreadable"] == 0
    assert planted.found_in(said.out.encode()) == []


def test_pixels_and_geometry_stay_and_the_series_holds_together(tmp_path: Path) -> None:
    series = Series(5, 12, 10)
    write(tmp_path / "in", datasets(series))
    deid(tmp_path / "in", tmp_path / "out")
    made = written(tmp_path / "out")
    np.testing.assert_array_equal(np.stack([ds.pixel_array for ds in made]), series.voxels())
    for index, ds in enumerate(made):
        assert float(ds.ImagePositionPatient[2]) == 30.0 + 2.5 * index
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
        assert ds.PatientID == ds.PatientName == KEY.pseudonym("PAT-1")
        assert ds.PatientIdentityRemoved == "YES"
        assert ds.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
        assert ds.LongitudinalTemporalInformationModified == "REMOVED"
        assert "StudyDate" in ds and not ds.StudyDate
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        (uid,) = {ds[keyword].value for ds in made}
        assert uid.startswith("2.25.") and UID(uid).is_valid
    assert len({ds.SOPInstanceUID for ds in made}) == 5


def test_the_files_are_sound_to_another_reader(tmp_path: Path) -> None:
    import subprocess

    write(tmp_path / "in", datasets(Series(2)))
    deid(tmp_path / "in", tmp_path / "out")
    for path in (tmp_path / "out").rglob("*.dcm"):
        done = subprocess.run(["dcmdump", "+E", "-q", path], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_where_the_patient_was_goes_and_what_the_dictionary_does_not_know(tmp_path: Path) -> None:
    (ds,) = datasets(Series(1))
    ds.GPSLatitude, ds.GPSLongitude, ds.GPSAltitude = ["50", "56", "51.2"], ["6", "57", "12"], "37"
    ds.GPSLatitudeRef, ds.GPSTrack = "N", "12.5"
    ds.add_new(0x00100041, "CS", "SHE")  # newer than the dictionary
    ds.add_new(0x00100047, "DS", "1234")
    write(tmp_path / "in", [ds])
    deid(tmp_path / "in", tmp_path / "out", Options(device=True, patient=True, dates=True))
    (made,) = written(tmp_path / "out")
    assert not [element.name for element in made if "GPS" in element.keyword]
    assert Tag(0x00100041) not in made and Tag(0x00100047) not in made


def test_a_code_that_holds_the_patients_name_is_removed_not_replaced(tmp_path: Path) -> None:
    (ds,) = datasets(Series(1))
    ds.PatientName, ds.PresentationIntentType, ds.AcquisitionType = "Brown^Ann", "BROWN", "SPIRAL"
    write(tmp_path / "in", [ds])
    deid(tmp_path / "in", tmp_path / "out")
    (made,) = written(tmp_path / "out")
    assert "PresentationIntentType" not in made
    assert made.AcquisitionType == "SPIRAL"


def test_references_between_files_still_fit(tmp_path: Path) -> None:
    first, second = datasets(Series(2))
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = (
        first.SOPClassUID,
        first.SOPInstanceUID,
    )
    second.SourceImageSequence = [item]
    write(tmp_path / "in", [first, second])
    deid(tmp_path / "in", tmp_path / "out")
    one, two = written(tmp_path / "out")
    assert two.SourceImageSequence[0].ReferencedSOPInstanceUID == one.SOPInstanceUID
    assert two.SourceImageSequence[0].ReferencedSOPClassUID == first.SOPClassUID


def test_dates_of_a_patient_move_by_the_same_days(tmp_path: Path) -> None:
    from datetime import date

    early, late = datasets(Series(2))
    early.StudyDate, late.StudyDate = "20200102", "20210310"
    early.AcquisitionDateTime = "20200102101112.5+0100"
    early[0x00080023] = RawDataElement(Tag(0x00080023), "DA", 8, b"garbage ", 0, False, True)
    early.PatientBirthDate = "19500101"
    write(tmp_path / "in", [early, late])
    deid(tmp_path / "in", tmp_path / "out", Options(dates=True))
    one, two = written(tmp_path / "out")
    days = [date.fromisoformat(ds.StudyDate) for ds in (one, two)]
    assert (days[1] - days[0]).days == (date(2021, 3, 10) - date(2020, 1, 2)).days
    assert (days[0] - date(2020, 1, 2)).days == KEY.shift_days("PAT-1") != 0
    assert one.AcquisitionDateTime == one.StudyDate + "101112.5+0100"
    assert one.StudyTime == "101112"
    assert not one.ContentDate and not one.PatientBirthDate
    assert one.LongitudinalTemporalInformationModified == "MODIFIED"


def test_characteristics_are_kept_where_wanted_and_great_age_is_one(tmp_path: Path) -> None:
    young, old = datasets(Series(2))
    young.PatientAge, old.PatientAge, old.PatientWeight = "061Y", "097Y", "71.5"
    write(tmp_path / "in", [young, old])
    deid(tmp_path / "in", tmp_path / "out", Options(patient=True))
    one, two = written(tmp_path / "out")
    assert (one.PatientAge, two.PatientAge) == ("061Y", "090Y")
    assert (two.PatientSex, float(two.PatientWeight)) == ("F", 71.5)
    deid(tmp_path / "in", tmp_path / "plain")
    assert all("PatientAge" not in ds and not ds.PatientSex for ds in written(tmp_path / "plain"))


def test_codes_the_world_knows_keep_its_meaning_and_others_go(tmp_path: Path) -> None:
    (ds,) = datasets(Series(1))
    known, local = Dataset(), Dataset()
    known.CodeValue, known.CodingSchemeDesignator = "10200004", "SCT"
    known.CodeMeaning = "liver of Jane Doe"
    local.CodeValue, local.CodingSchemeDesignator, local.CodeMeaning = "DOE", "99X", "Jane Doe"
    ds.AnatomicRegionSequence = [known, local]
    write(tmp_path / "in", [ds])
    deid(tmp_path / "in", tmp_path / "out")
    (made,) = written(tmp_path / "out")
    first, second = made.AnatomicRegionSequence
    assert (first.CodeValue, first.CodingSchemeDesignator) == ("10200004", "SCT")
    assert first.CodeMeaning.startswith("Liver structure")
    assert second.CodingSchemeDesignator == "99FEDVOX"
    assert "DOE" not in str(second).upper()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
def test_the_transfer_syntax_stays(tmp_path: Path, syntax: UID) -> None:
    (ds,) = datasets(Series(1))
    pixels = ds.pixel_array.copy()
    if syntax is RLELossless:
        ds.compress(RLELossless, generate_instance_uid=False)
        ds.save_as(tmp_path / "in.dcm", enforce_file_format=True)
    else:
        little = syntax is not ExplicitVRBigEndian
        ds.PixelData = pixels.astype("<i2" if little else ">i2").tobytes()
        ds.file_meta.TransferSyntaxUID = syntax
        again = Dataset()
        again.update({element.tag: element for element in ds})
        again.file_meta = ds.file_meta
        again.save_as(tmp_path / "in.dcm", enforce_file_format=True)
    deid(tmp_path / "in.dcm", tmp_path / "out")
    (made,) = written(tmp_path / "out")
    assert made.file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(made.pixel_array, pixels)


def test_where_it_may_not_be_written(tmp_path: Path) -> None:
    write(tmp_path / "in", datasets(Series(1)))
    for target in (tmp_path / "in", tmp_path / "in" / "below", tmp_path):
        with pytest.raises(InputError, match="outside SRC"):
            deid(tmp_path / "in", target)
    with pytest.raises(InputError, match="not there"):
        deid(tmp_path / "nowhere", tmp_path / "out")


def test_an_empty_folder_is_told_by_the_status(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    said = fedvox("site", "deid", tmp_path / "in", tmp_path / "out", "--home", tmp_path)
    assert said.status == 2


def test_pydicoms_own_files_make_no_trouble(tmp_path: Path) -> None:
    """Many of them are broken on purpose: each is written whole or refused."""
    found = sorted((Path(pydicom.__file__).parent / "data" / "test_files").glob("*.dcm"))[::4]
    (tmp_path / "in").mkdir()
    for number, path in enumerate(found):
        (tmp_path / "in" / f"{number}.dcm").symlink_to(path)
    assert deid(tmp_path / "in", tmp_path / "none").files_read == 0  # links lead anywhere
    for number, path in enumerate(found):
        (tmp_path / "in" / f"{number}.dcm").unlink()
        if path.stat().st_size < 1_000_000:
            (tmp_path / "in" / f"{number}.dcm").write_bytes(path.read_bytes())
    from fedvox.client.ingest.hush import hushed

    with hushed():
        report = deid(tmp_path / "in", tmp_path / "out")
    assert report.files_read == report.files_written + report.refused.total()
    assert report.files_written >= 5
    assert {"not-an-image", "secondary-capture"} <= set(report.refused)
    assert not list((tmp_path / "out").rglob("*.part"))
