"""A hundred identifiers in every kind of place, and none of them beyond the ingest."""

import json
import logging
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import fedvox
from planted import Planted, planted_export
from trainers import give_identity

from fedvox.client.dataset.dataset import Dataset
from fedvox.client.dataset.places import Place
from fedvox.client.policy.signature import policy_file, sign_policy


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Planted]]:
    folder = tmp_path_factory.mktemp("export")
    yield folder, planted_export(folder)


def test_the_search_finds_what_is_there(export: tuple[Path, Planted]) -> None:
    folder, planted = export
    assert len(planted.words) > 60
    assert set(planted.found_below(folder)) == set(planted.words)


def test_none_is_in_the_store_nor_in_what_is_said(
    export: tuple[Path, Planted], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, planted = export
    caplog.set_level(logging.DEBUG)
    give_identity(tmp_path / "home")
    policy_file(tmp_path / "home").write_text("[store]\nkeep = ['age', 'sex']\n")
    sign_policy(tmp_path / "home")
    words = ["--home", tmp_path / "home", "--dataset", "d"]
    said = [fedvox("site", "ingest", folder, *words, "--keep", "age", "--keep", "sex", "--json")]
    assert json.loads(said[0].out)["ingested"] == 1
    said.append(fedvox("site", "ingest", folder, *words))
    key = Dataset.open(tmp_path / "home", "d").cases()[0].key
    png = tmp_path / "home" / "sheet.png"
    for look in (["list"], ["show", key, "--png", png], ["quarantine"], ["stats", "--verify"]):
        for form in ([], ["--json"]):
            said.append(fedvox("site", "data", *look, *words, *form))
    assert {one.status for one in said} == {0}
    assert planted.found_below(tmp_path / "home") == []
    assert planted.found_in("".join(one.out + one.err for one in said).encode()) == []
    assert planted.found_in(caplog.text.encode()) == []


def test_none_is_in_what_a_process_writes(export: tuple[Path, Planted], tmp_path: Path) -> None:
    """Libraries write to the process's own streams what no test of Python's sees."""
    folder, planted = export
    command = [str(Path(sys.executable).with_name("fedvox")), "site", "ingest", str(folder)]
    command += ["--home", str(tmp_path), "--dataset", "d"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert planted.found_in(done.stdout + done.stderr) == []


def test_deleted_rows_do_not_linger_in_pages(export: tuple[Path, Planted], tmp_path: Path) -> None:
    folder, _ = export
    fedvox("site", "ingest", folder, "--home", tmp_path, "--dataset", "d")
    place = Place(tmp_path, "d")
    held = Dataset.open(tmp_path, "d")
    (patient,) = held.patients()
    connection = sqlite3.connect(place.manifest)
    (page,) = connection.execute("PRAGMA freelist_count").fetchone()
    connection.close()
    assert page == 0 and patient.encode() in place.manifest.read_bytes()
    said = fedvox("site", "withdraw", patient, "--home", tmp_path, "--json")
    assert said.status == 0
    assert (
        b"".join(p.read_bytes() for p in place.folder.rglob("*") if p.is_file()).count(
            patient.encode()
        )
        == 0
    )


def test_the_detail_is_there_for_people_at_the_site_and_sealed(
    export: tuple[Path, Planted], tmp_path: Path
) -> None:
    folder, planted = export
    words = ["--home", tmp_path, "--dataset", "d"]
    fedvox("site", "ingest", folder, *words)
    said = fedvox("site", "data", "quarantine", "--detail", "--json", *words)
    items = json.loads(said.out)["items"]
    assert {item["reason"] for item in items} == {"not-an-image", "secondary-capture", "unreadable"}
    assert any(planted.words["damaged file name"] in file for i in items for file in i["files"])


@pytest.mark.parametrize("what", ["ingest", "deid"])
def test_none_is_in_an_error(export: tuple[Path, Planted], tmp_path: Path, what: str) -> None:
    folder, planted = export
    (tmp_path / "identity").mkdir()
    (tmp_path / "identity" / "pseudonym.key").write_text("broken")
    (tmp_path / "identity" / "pseudonym.key").chmod(0o600)
    extra = ["--dataset", "d"] if what == "ingest" else [tmp_path / "out"]
    said = fedvox("site", what, folder, *extra, "--home", tmp_path)
    assert said.status == 2 and "restore it" in said.err
    assert planted.found_in(said.err.encode()) == []
