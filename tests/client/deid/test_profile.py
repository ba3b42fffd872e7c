"""The table of attributes: whole, known to the standard, and careful with the rest."""

import runpy
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

from fedvox.client.deid.profile import Action, Options, action_for, listed

BASIC = Options()
EVERY = Options(device=True, patient=True, dates=True)


def test_every_keyword_is_one_of_the_standard_and_every_action_is_known() -> None:
    assert len(listed()) > 400
    for keyword in listed():
        tag = tag_for_keyword(keyword)
        assert tag is not None, keyword
        for options in (BASIC, EVERY):
            action_for(keyword, dictionary_VR(tag), options)


# What PS3.15 Table E.1-1 says: action of the basic profile, then with the option that has one.
STANDARD = [
    ("AccessionNumber", "SH", Action.EMPTY, BASIC, Action.EMPTY),
    ("PatientBirthDate", "DA", Action.EMPTY, Options(dates=True), Action.EMPTY),
    ("StudyDate", "DA", Action.EMPTY, Options(dates=True), Action.SHIFT),
    ("SeriesDate", "DA", Action.REMOVE, Options(dates=True), Action.SHIFT),
    ("StudyTime", "TM", Action.EMPTY, Options(dates=True), Action.KEEP),
    ("PatientSex", "CS", Action.EMPTY, Options(patient=True), Action.KEEP),
    ("PatientAge", "AS", Action.REMOVE, Options(patient=True), Action.KEEP),
    ("DeviceSerialNumber", "LO", Action.REMOVE, Options(device=True), Action.KEEP),
    ("StationName", "SH", Action.REMOVE, Options(device=True), Action.KEEP),
    ("SOPInstanceUID", "UI", Action.REMAP, EVERY, Action.REMAP),
    ("FrameOfReferenceUID", "UI", Action.REMAP, EVERY, Action.REMAP),
    ("OriginalAttributesSequence", "SQ", Action.REMOVE, EVERY, Action.REMOVE),
    ("StudyDescription", "LO", Action.REMOVE, EVERY, Action.REMOVE),
    ("InstitutionName", "LO", Action.REMOVE, EVERY, Action.REMOVE),
    ("PixelData", "OW", Action.KEEP, EVERY, Action.KEEP),
]


@pytest.mark.parametrize(("keyword", "vr", "basic", "options", "optional"), STANDARD)
def test_the_standards_actions(
    keyword: str, vr: str, basic: Action, options: Options, optional: Action
) -> None:
    assert action_for(keyword, vr, BASIC) is basic
    assert action_for(keyword, vr, options) is optional


# What the table removes, empties or replaces though its kind could not hold a person's words: the
# rules for what is not listed would keep it. Of 655 rows of edition 2026c, these 41 did not agree.
NEVER_KEPT = """
    GPSAltitude GPSAltitudeRef GPSDestBearing GPSDestBearingRef GPSDestDistance GPSDestDistanceRef
    GPSDestLatitude GPSDestLatitudeRef GPSDestLongitude GPSDestLongitudeRef GPSDifferential GPSDOP
    GPSImgDirection GPSImgDirectionRef GPSLatitude GPSLatitudeRef GPSLongitude GPSLongitudeRef
    GPSMeasureMode GPSSpeed GPSSpeedRef GPSStatus GPSTrack GPSTrackRef InstanceOriginStatus
    ReasonForTheAttributeModification EthnicGroupCodeSequence FlowIdentifierSequence
    IssuerOfServiceEpisodeIDSequence OtherClinicalTrialProtocolIDsSequence
    PatientPrimaryLanguageModifierCodeSequence TransducerIdentificationSequence
    VerbalSourceIdentifierCodeSequenceTrial WaveformAnnotationSequence ReferencedStudySequence
    BarcodeValue IssuerOfTheContainerIdentifierSequence IssuerOfTheSpecimenIdentifierSequence
    PrescriptionNotesSequence SpecimenPreparationSequence ModifyingDeviceID
"""


@pytest.mark.parametrize("keyword", NEVER_KEPT.split())
def test_what_the_standard_removes_goes_whatever_its_kind(keyword: str) -> None:
    vr = dictionary_VR(keyword)
    for options in (BASIC, EVERY):
        assert action_for(keyword, vr, options) in (Action.REMOVE, Action.EMPTY)


def test_the_table_as_others_have_it() -> None:
    """Every row of the newest edition, where a package that holds it is installed."""
    package = find_spec("dicomanonymizer")
    if package is None or package.submodule_search_locations is None:
        pytest.skip("pip install dicom-anonymizer to compare")
    folder = Path(package.submodule_search_locations[0], "dicom_anonymization_databases")
    table = runpy.run_path(str(folder / "dicomfields_2026c.py"))
    fine = {"X": "X", "D": "DX", "Z": "ZX", "U": "UX", "X_Z": "XZ", "X_D": "XD", "Z_D": "ZDX"}
    fine |= {"X_Z_D": "XZD", "X_Z_U_STAR": "XZE"}  # careful: removed where a dummy would do
    own = {"PatientID": "P", "PatientName": "P", "ROIName": "C", "AnnotationGroupUID": "U"}
    wrong, compared = [], 0
    for kind, allowed in fine.items():
        for tag in table[f"{kind}_TAGS"]:
            keyword = keyword_for_tag(tag) if len(tag) == 2 else ""
            if not keyword:  # whole groups, and attributes newer than the dictionary: removed
                continue
            compared += 1
            done = action_for(keyword, dictionary_VR(tag), BASIC)
            if done not in own.get(keyword, allowed):
                wrong.append((keyword, kind, done))
    assert compared > 600
    assert not wrong


# Attributes that each option of the table touches and what it does with them here; those that
# the option would let stay and that go even so are named in profile.csv.
OPTION_COUNTS = [
    (Options(device=True), {Action.KEEP: 39, Action.ENTER: 5}),
    (Options(patient=True), {Action.KEEP: 7}),
    (Options(dates=True), {Action.SHIFT: 47, Action.KEEP: 23}),
]


@pytest.mark.parametrize(("options", "counts"), OPTION_COUNTS)
def test_what_each_option_changes(options: Options, counts: dict[Action, int]) -> None:
    changed = [
        action_for(keyword, dictionary_VR(keyword), options)
        for keyword in listed()
        if action_for(keyword, dictionary_VR(keyword), options)
        is not action_for(keyword, dictionary_VR(keyword), BASIC)
    ]
    assert Counter(changed) == counts


REMOVED = "AE AS DA DT LO LT PN SH ST TM UC UR UT OB OW OF UN"


@pytest.mark.parametrize("vr", REMOVED.split())
def test_what_nobody_listed_is_removed_where_it_could_hold_a_persons_words(vr: str) -> None:
    for options in (BASIC, EVERY):
        assert action_for("", vr, options) is Action.REMOVE


def test_the_rest_that_nobody_listed() -> None:
    assert action_for("", "SQ", BASIC) is Action.ENTER
    assert action_for("", "UI", BASIC) is Action.REMAP
    assert {action_for("", vr, BASIC) for vr in ("CS", "DS", "IS", "US", "FD", "AT")} == {
        Action.KEEP
    }


def test_no_option_brings_a_name_of_the_patient_back() -> None:
    for keyword in ("PatientName", "PatientID"):
        assert action_for(keyword, "LO", EVERY) is Action.PSEUDONYM
    for keyword in ("OtherPatientIDs", "PatientAddress", "PatientTelephoneNumbers"):
        assert action_for(keyword, "LO", EVERY) is Action.REMOVE
