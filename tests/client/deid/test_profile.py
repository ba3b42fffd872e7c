"""The table of attributes: whole, known to the standard, and careful with the rest."""

import pytest
from pydicom.datadict import dictionary_VR, tag_for_keyword

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
