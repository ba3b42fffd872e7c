"""Cases on their way in: replaced, refused, swept; versions that only grow."""

import sqlite3
from pathlib import Path

import pytest
from datasets import PATIENTS, add, content, dataset

from fedvox.client.dataset.case import Case
from fedvox.client.dataset.dataset import Dataset
from fedvox.client.dataset.intake import Intake, sweep
from fedvox.client.dataset.manifest import Manifest, SourceOf
from fedvox.client.dataset.places import Place
from fedvox.client.dataset.versions import fingerprint_of
from fedvox.common.errors import DataError, InputError


def put(
    intake: Intake, number: int, source: SourceOf, present: frozenset[str] = frozenset()
) -> str:
    made = content(number)
    packed = intake.write(made)
    case = Case(
        packed.key, packed.image_sha256, source.pseudonym, "s", "s", made.facts, packed.bytes
    )
    return intake.add(case, source, present)


def test_a_version_is_the_hash_over_its_cases(tmp_path: Path) -> None:
    version = dataset(tmp_path)
    held = Dataset.open(tmp_path, "d")
    assert held.version == version
    assert (version.number, version.cases, version.patients) == (1, 6, 5)
    by_hand = fingerprint_of([(case.key, case.patient) for case in held.cases()])
    assert version.fingerprint == by_hand
    assert dataset(tmp_path / "other").fingerprint == version.fingerprint


def test_who_a_case_is_of_counts_but_not_what_he_is_called() -> None:
    one = fingerprint_of([("a", "x"), ("b", "x"), ("c", "y")])
    assert one == fingerprint_of([("c", "q"), ("b", "p"), ("a", "p")])
    assert one != fingerprint_of([("a", "x"), ("b", "y"), ("c", "y")])
    assert one != fingerprint_of([("a", "x"), ("b", "z"), ("c", "y")])


def test_nothing_new_is_no_new_version(tmp_path: Path) -> None:
    first = dataset(tmp_path)
    with Intake(Place(tmp_path, "d")) as intake:
        assert intake.form_version() == first


def test_a_file_with_the_same_images_replaces_the_one_before(tmp_path: Path) -> None:
    place = Place(tmp_path, "d")
    with Intake(place) as intake:
        assert not put(intake, 1, SourceOf("old", "", "r", PATIENTS[0], (b"image",)))
        first = intake.form_version()
        assert not put(intake, 2, SourceOf("new", "", "r", PATIENTS[0], (b"image",)))
        second = intake.form_version()
    assert first is not None and second is not None
    assert (second.number, second.cases) == (2, 1)
    with Manifest(place.manifest) as manifest:
        assert manifest.known("old") is None
        assert len(manifest.cases(1)) == len(manifest.cases(2)) == 1
        assert manifest.cases(1) != manifest.cases(2)
    assert len(place.case_files()) == 2  # the first version is still whole


def test_two_scans_of_one_file_do_not_replace_each_other(tmp_path: Path) -> None:
    present = frozenset({"a", "b"})
    with Intake(Place(tmp_path, "d")) as intake:
        assert not put(intake, 1, SourceOf("a", "", "r", PATIENTS[0], (b"file",)), present)
        assert not put(intake, 2, SourceOf("b", "", "r", PATIENTS[0], (b"file",)), present)
        version = intake.form_version()
    assert version is not None and version.cases == 2


def test_one_image_of_two_patients_is_a_duplicate_and_its_file_goes(tmp_path: Path) -> None:
    place = Place(tmp_path, "d")
    with Intake(place) as intake:
        assert not put(intake, 1, SourceOf("a", "", "r", PATIENTS[0]))
        twin = content(1)
        twin.facts.attributes["manufacturer"] = "Canon"  # type: ignore[index]
        assert add(intake, 9, PATIENTS[1], twin) == "duplicate"
        assert len(place.case_files()) == 2
        version = intake.form_version()
    assert version is not None and version.patients == 1
    assert len(place.case_files()) == 1


def test_what_was_set_aside_is_settled_by_what_takes_its_place(tmp_path: Path) -> None:
    place = Place(tmp_path, "d")
    with Intake(place) as intake:
        aside = SourceOf("bad", "", "r", "", places=(b"path",))
        intake.set_aside((aside, "unreadable", b"sealed"))
        assert not put(intake, 1, SourceOf("good", "", "r", PATIENTS[0], (b"i",), (b"path",)))
        assert not put(intake, 2, SourceOf("next", "", "r", PATIENTS[1], (b"j",), (b"path",)))
    with Manifest(place.manifest) as manifest:
        assert manifest.aside() == []
        assert manifest.known("good") is not None  # a path that is used again replaces no case


def test_a_file_that_nothing_refers_to_is_swept(tmp_path: Path) -> None:
    place = Place(tmp_path, "d")
    version = dataset(tmp_path)
    with Intake(place) as intake:
        intake.write(content(77))
        (place.cases / "zz").mkdir()
        (place.cases / "zz" / "draft.part").write_bytes(b"half")
        with Intake(place):  # somebody else is at work: nothing is swept
            assert len(place.case_files()) == version.cases + 2
    assert len(place.case_files()) == version.cases
    assert sweep(place) == 0


def test_versions_never_change(tmp_path: Path) -> None:
    dataset(tmp_path)
    connection = sqlite3.connect(Place(tmp_path, "d").manifest)
    for statement in (
        "UPDATE versions SET fingerprint = 'x'",
        "DELETE FROM versions",
        "DELETE FROM version_cases",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="never"):
            connection.execute(statement)
    connection.close()


def test_files_are_for_the_sites_own_account(tmp_path: Path) -> None:
    dataset(tmp_path)
    for path in (tmp_path / "data").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("name", ["", "..", "a/b", "x" * 65, ".hidden", "sp ace"])
def test_names_that_are_no_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="name"):
        Place(tmp_path, name)


def test_an_unknown_dataset_is_told_with_the_nearest(tmp_path: Path) -> None:
    dataset(tmp_path, name="liver")
    with pytest.raises(DataError, match="did you mean 'liver'"):
        Dataset.open(tmp_path, "livre")
    with pytest.raises(DataError, match="site ingest"):
        Dataset.open(tmp_path / "nobody", "liver")


def test_a_manifest_of_something_else_is_refused(tmp_path: Path) -> None:
    place = Place(tmp_path, "d")
    place.folder.mkdir(parents=True)
    place.manifest.write_bytes(b"not a database" * 100)
    with pytest.raises(DataError, match="damaged"):
        Manifest(place.manifest)
    place.manifest.unlink()
    other = sqlite3.connect(place.manifest)
    other.execute("PRAGMA user_version = 7")
    other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(DataError, match="no manifest of this release"):
        Manifest(place.manifest)
