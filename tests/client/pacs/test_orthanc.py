"""Against a real PACS: C-FIND with C-MOVE and C-GET, QIDO-RS with WADO-RS, by one set of tests."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from command import fedvox
from orthanc import PLUGIN, Orthanc, free_port, orthanc, require
from pacs_peers import ct, ct_files
from pulls import EVERY_CT, YEAR_2024, Make, Site, dimse
from pydicom import dcmread

from fedvox.client.pacs.archive import Into, find
from fedvox.client.pacs.dicomweb import Web, WebArchive
from fedvox.client.pacs.pull import Pace
from fedvox.client.pacs.query import Wanted, Window
from fedvox.client.pacs.spool import Spool

WAYS = ["move", "get", "web"]


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """Five CT series of five studies, one a month; the first two of the chest."""
    folder = tmp_path_factory.mktemp("orthanc")
    with orthanc(folder) as running:
        for number in range(1, 6):
            text = "Thin CHEST" if number < 3 else "Abdomen"
            said = {"StudyDate": f"2024{number:02d}15", "SeriesDescription": text}
            running.put(ct_files(folder, number, **said))
        yield running


def site_of(home: Path, pacs: Orthanc, way: str) -> tuple[Site, Make]:
    if way == "web":
        require(PLUGIN)
        return Site(home), lambda into: WebArchive(Web(pacs.dicomweb), into)
    site = Site(home, move_port=pacs.move_port if way == "move" else 0)
    return site, dimse(pacs.peer, way)


@pytest.mark.parametrize("way", WAYS)
def test_everything_comes_as_it_lies_there_and_once(
    pacs: Orthanc, tmp_path: Path, way: str
) -> None:
    site, make = site_of(tmp_path, pacs, way)
    first = site.pull(make)
    assert (first.found, first.fetched, first.objects, first.failed) == (5, 5, 20, {})
    sent = {image.SOPInstanceUID: image.PixelData for n in range(1, 6) for image in ct(n)}
    got = {}
    for path, content in zip(site.ingested, site.contents, strict=True):
        assert not path.exists()
        copy = tmp_path / "copy.dcm"
        copy.write_bytes(content)
        image = dcmread(copy)
        got[image.SOPInstanceUID] = image.PixelData
    assert got == sent
    assert site.states() == {"ingested": 5}
    second = site.pull(make)
    assert (second.found, second.present, second.fetched) == (5, 5, 0)
    assert len(site.ingested) == 20


SEARCHES = (
    (Wanted(("CT",), YEAR_2024), {1, 2, 3, 4, 5}),
    (Wanted(("CT",), Window(date(2024, 2, 15), date(2024, 4, 14))), {2, 3}),
    (Wanted(("CT",), Window(None, date(2024, 1, 15))), {1}),
    (Wanted(("CT",), Window(date(2024, 5, 16), None)), set()),
    (Wanted(("CT",), Window(), "*chest*"), {1, 2}),
    (Wanted(("MR",), Window()), set()),
    (Wanted(("MR", "CT"), Window(), "abdomen"), {3, 4, 5}),
)


@pytest.mark.parametrize("way", ["get", "web"])
def test_only_what_is_wanted_is_found(pacs: Orthanc, tmp_path: Path, way: str) -> None:
    _, make = site_of(tmp_path, pacs, way)
    uids = {str(ct(number, 1)[0].SeriesInstanceUID): number for number in range(1, 6)}
    missed: list[object] = []
    with Spool(tmp_path, "d", "pull") as spool, closing(make(Into(spool))) as archive:
        for wanted, numbers in SEARCHES:
            found = list(find(archive, wanted, lambda *what: missed.append(what)))
            assert {uids[series.uid] for series in found} == numbers
            assert {series.objects for series in found} <= {4}
    assert not missed


@pytest.mark.parametrize("way", WAYS)
def test_what_a_limit_left_is_fetched_without_searching_anew(
    pacs: Orthanc, tmp_path: Path, way: str
) -> None:
    site, make = site_of(tmp_path, pacs, way)
    assert site.pull(make, EVERY_CT, Pace(limit=2)).fetched == 2
    assert site.states() == {"ingested": 2, "found": 3}
    rest = site.pull(make, None)
    assert (rest.found, rest.fetched, rest.objects) == (3, 3, 12)
    assert site.states() == {"ingested": 5}


def test_a_destination_that_the_pacs_does_not_know(pacs: Orthanc, tmp_path: Path) -> None:
    site = Site(tmp_path, move_port=free_port())
    pulled = site.pull(dimse(pacs.peer, "move", title="NOBODY"))
    assert pulled.fetched == 0 and sum(pulled.failed.values()) == 5
    assert site.states() == {"failed": 5} and site.ingested == []
    again = site.pull(dimse(pacs.peer, "get"))
    assert again.fetched == 5 and site.states() == {"ingested": 5}


def test_a_destination_where_nobody_listens(pacs: Orthanc, tmp_path: Path) -> None:
    site = Site(tmp_path)  # the PACS would send to a port that is closed
    pulled = site.pull(dimse(pacs.peer, "move"), EVERY_CT)
    assert pulled.fetched == 0 and sum(pulled.failed.values()) == 5


def test_a_pacs_that_answers_with_a_few_studies_at_a_time(tmp_path: Path) -> None:
    with orthanc(tmp_path / "o", LimitFindResults=2) as few:
        for number in range(1, 6):
            few.put(ct_files(tmp_path, number, slices=1, StudyDate=f"202401{number:02d}"))
        site = Site(tmp_path / "home")
        pulled = site.pull(dimse(few.peer), Wanted(("CT",), YEAR_2024))
        assert (pulled.found, pulled.fetched, pulled.unanswered) == (5, 5, {})


def test_the_command_from_search_to_dataset(pacs: Orthanc, tmp_path: Path) -> None:
    words = ("site", "pull", "--home", tmp_path, "--dataset", "chest", "--from", pacs.peer)
    words += ("--modality", "CT", "--since", "2024-01-01", "--description", "*chest*")
    words += ("--port", str(pacs.move_port), "--reserve-mib", "1", "--json")
    done = fedvox(*words)
    assert done.status == 0, done.err
    said = json.loads(done.out.splitlines()[-1])
    assert (said["found"], said["fetched"], said["objects"], said["ingested"]) == (2, 2, 8, 2)
    assert said["series"] == {"ingested": 2} and said["fingerprint"]
    held = json.loads(
        fedvox("site", "data", "list", "--home", tmp_path, "--json").out.splitlines()[-1]
    )
    assert said["fingerprint"] in json.dumps(held)
    for image in (ct(1)[0], ct(2)[0]):
        for identifier in (image.PatientID, image.StudyInstanceUID, str(image.PatientName)):
            assert identifier not in done.out + done.err
    assert not list((tmp_path / "pacs").rglob("*.dcm"))
