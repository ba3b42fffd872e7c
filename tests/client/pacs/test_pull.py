"""A pull from archives that behave badly: what fails is recorded and passed over."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from orthanc import free_port
from pacs_peers import ct, pacs
from pulls import EVERY_CT, YEAR_2024, Site, dimse
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.events import Event

from fedvox.client.pacs.part import Limits
from fedvox.client.pacs.pull import Pace
from fedvox.client.pacs.query import Wanted
from fedvox.client.pacs.record import Record
from fedvox.client.pacs.spool import Spool

STUDIES = {str(ct(n, 1)[0].StudyInstanceUID): n for n in (1, 2, 3)}


def answer(event: Event) -> Iterator[tuple[int, Dataset | None]]:
    """C-FIND: three studies of one CT series each."""
    asked = event.identifier
    for uid, number in STUDIES.items():
        if asked.get("StudyInstanceUID") not in ("", uid):
            continue
        image, found = ct(number, 1)[0], Dataset()
        found.QueryRetrieveLevel = asked.QueryRetrieveLevel
        found.StudyInstanceUID, found.StudyDate = uid, "20240115"
        if asked.QueryRetrieveLevel == "SERIES":
            found.SeriesInstanceUID, found.Modality = image.SeriesInstanceUID, "CT"
            found.SeriesDescription, found.NumberOfSeriesRelatedInstances = "Chest", 4
        yield 0xFF00, found


def images(event: Event) -> list[Any]:
    return ct(STUDIES[event.identifier.StudyInstanceUID])


def send(event: Event) -> Iterator[Any]:
    """C-GET: everything that was asked for."""
    found = images(event)
    yield len(found)
    for image in found:
        yield 0xFF00, image


def test_a_whole_pull(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with pacs([(evt.EVT_C_FIND, answer), (evt.EVT_C_GET, send)]) as peer:
        pulled = site.pull(dimse(peer))
    assert (pulled.found, pulled.fetched, pulled.objects) == (3, 3, 12)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (0xA801, "unknown-destination"),
        (0xA701, "overloaded"),
        (0xA702, "overloaded"),
        (0xA900, "unsupported"),
        (0xC123, "failed"),
    ],
)
def test_one_series_that_cannot_be_had_stops_no_other(
    tmp_path: Path, status: int, reason: str
) -> None:
    def deny(event: Event) -> Iterator[Any]:
        if STUDIES[event.identifier.StudyInstanceUID] != 2:
            yield from send(event)
        else:
            yield 1
            yield status, None

    site = Site(tmp_path)
    with pacs([(evt.EVT_C_FIND, answer), (evt.EVT_C_GET, deny)]) as peer:
        pulled = site.pull(dimse(peer))
    assert (pulled.fetched, pulled.failed) == (2, {reason: 1})
    assert site.reasons() == {reason: 1} and site.states() == {"ingested": 2, "failed": 1}
    assert any(f"skipped: {reason}" in line for line in site.said)
    with pacs([(evt.EVT_C_FIND, answer), (evt.EVT_C_GET, send)]) as peer:
        again = site.pull(dimse(peer))
    assert (again.present, again.fetched, site.states()) == (2, 1, {"ingested": 3})


def test_a_series_of_which_a_part_came_is_not_ingested(tmp_path: Path) -> None:
    def short(event: Event) -> Iterator[Any]:
        yield 3
        for image in images(event)[:3]:
            yield 0xFF00, image

    site = Site(tmp_path)
    with pacs([(evt.EVT_C_FIND, answer), (evt.EVT_C_GET, short)]) as peer:
        pulled = site.pull(dimse(peer))
    assert pulled.failed == {"incomplete": 3} and site.ingested == []


def test_a_broken_object_spoils_its_series_only(tmp_path: Path) -> None:
    def broken(event: Event) -> Iterator[Any]:
        found = images(event)
        if STUDIES[event.identifier.StudyInstanceUID] == 2:
            del found[1].SeriesInstanceUID
        yield len(found)
        for image in found:
            yield 0xFF00, image

    site = Site(tmp_path)
    with pacs([(evt.EVT_C_FIND, answer), (evt.EVT_C_GET, broken)]) as peer:
        pulled = site.pull(dimse(peer))
    assert (pulled.fetched, pulled.failed) == (2, {"broken": 1})
    assert len(site.ingested) == 8


def test_another_series_than_was_asked_for_is_not_taken(tmp_path: Path) -> None:
    def other(event: Event) -> Iterator[Any]:
        yield 1
        yield 0xFF00, ct(9, 1)[0]

    site = Site(tmp_path)
    with pacs([(evt.EVT_C_FIND, answer), (evt.EVT_C_GET, other)]) as peer:
        pulled = site.pull(dimse(peer))
    assert pulled.fetched == 0 and sum(pulled.failed.values()) == 3 and site.ingested == []


def test_a_pacs_that_adds_what_was_not_asked_for(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with pacs([(evt.EVT_C_FIND, answer), (evt.EVT_C_GET, send)]) as peer:
        assert site.pull(dimse(peer), Wanted(("MR",), YEAR_2024)).found == 0
        assert site.pull(dimse(peer), Wanted(("CT",), YEAR_2024, "*knee*")).found == 0


def test_a_pacs_that_is_silent_in_the_middle(tmp_path: Path) -> None:
    released = threading.Event()

    def slow(event: Event) -> Iterator[Any]:
        if STUDIES[event.identifier.StudyInstanceUID] == 2:
            released.wait(10)
        yield from send(event)

    site, begun = Site(tmp_path), time.monotonic()
    with pacs([(evt.EVT_C_FIND, answer), (evt.EVT_C_GET, slow)]) as peer:
        pulled = site.pull(dimse(peer, patience_s=1.0))
        released.set()
    assert (pulled.fetched, pulled.failed) == (2, {"slow": 1})
    assert time.monotonic() - begun < 30


def test_a_pacs_that_stops_within_a_pdu(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=half_an_answer, args=(server,), daemon=True)
        thread.start()
        begun = time.monotonic()
        peer = f"PACS@127.0.0.1:{server.getsockname()[1]}"
        pulled = Site(tmp_path).pull(dimse(peer, patience_s=1.0))
        assert pulled.found == 0 and sum(pulled.unanswered.values()) == 1
        assert time.monotonic() - begun < 30


def half_an_answer(server: socket.socket) -> None:
    connection, _ = server.accept()
    connection.recv(65536)
    connection.sendall(b"\x02\x00\x00\x00\x00\xff" + bytes(10))
    time.sleep(20)


def test_a_pacs_that_is_not_there_is_given_up(tmp_path: Path) -> None:
    site = Site(tmp_path)
    pulled = site.pull(dimse(f"PACS@127.0.0.1:{free_port()}"))
    assert pulled.unanswered == {"unreachable": 1} and pulled.found == 0
    with pacs([(evt.EVT_C_FIND, answer), (evt.EVT_C_GET, send)]) as peer:
        site.pull(dimse(peer), EVERY_CT, Pace(limit=1))
    gone = site.pull(dimse(peer), None)
    assert gone.failed == {"unreachable": 2}


def test_a_pacs_that_turns_us_away(tmp_path: Path) -> None:
    with pacs([(evt.EVT_C_FIND, answer)]) as peer:
        pulled = Site(tmp_path).pull(dimse(peer.replace("PACS@", "OTHER@")))
    assert pulled.unanswered == {"refused": 1}


def test_a_question_that_fails_is_asked_for_fewer_days(tmp_path: Path) -> None:
    asked: list[str] = []

    def picky(event: Event) -> Iterator[tuple[int, Dataset | None]]:
        if event.identifier.QueryRetrieveLevel == "STUDY":
            asked.append(str(event.identifier.StudyDate))
            first, last = asked[-1].split("-")
            if first <= "20240115" <= last and int(last) - int(first) > 3:
                yield 0xA700, None
                return
            if not first <= "20240115" <= last:
                return
        yield from answer(event)

    site = Site(tmp_path)
    with pacs([(evt.EVT_C_FIND, picky), (evt.EVT_C_GET, send)]) as peer:
        pulled = site.pull(dimse(peer), Wanted(("CT",), YEAR_2024))
    assert (pulled.found, pulled.fetched, pulled.unanswered) == (3, 3, {})
    assert "20240101-20240131" in asked and len(asked) < 30


def test_a_disk_without_room_is_said_and_given_up(tmp_path: Path) -> None:
    site = Site(tmp_path, Limits(reserve_bytes=1 << 60))
    with pacs([(evt.EVT_C_FIND, answer), (evt.EVT_C_GET, send)]) as peer:
        pulled = site.pull(dimse(peer))
    assert pulled.failed == {"no-space": 3} and pulled.gave_up
    site.limits = Limits(reserve_bytes=0)
    with pacs([(evt.EVT_C_FIND, answer), (evt.EVT_C_GET, send)]) as peer:
        assert site.pull(dimse(peer)).fetched == 3


def test_a_pace_is_kept(tmp_path: Path) -> None:
    site, begun = Site(tmp_path), time.monotonic()
    with pacs([(evt.EVT_C_FIND, answer), (evt.EVT_C_GET, send)]) as peer:
        assert site.pull(dimse(peer), EVERY_CT, Pace(per_minute=60)).fetched == 3
    assert time.monotonic() - begun >= 2.0


def test_it_can_be_stopped_and_gone_on_with(tmp_path: Path) -> None:
    site = Site(tmp_path)

    def stopping(event: Event) -> Iterator[Any]:
        site.stop.set()
        yield from send(event)

    with pacs([(evt.EVT_C_FIND, answer), (evt.EVT_C_GET, stopping)]) as peer:
        assert site.pull(dimse(peer)).fetched == 1
        site.stop.clear()
        assert site.pull(dimse(peer), None).fetched == 1


def test_what_a_killed_pull_left_is_tidied_up(tmp_path: Path) -> None:
    """A whole series that was recorded goes on; a part of one that was not is dropped."""
    whole, part = ct(1), ct(2)[:2]
    with Spool(tmp_path, "d", "pull", Limits(reserve_bytes=0)) as spool:
        record = Record(tmp_path, "d")
        from fedvox.client.pacs.query import Series

        for found in (whole, part):
            uid, series = found[0].StudyInstanceUID, found[0].SeriesInstanceUID
            tokens = spool.study_token(uid), spool.series_token(series)
            record.found(*tokens, Series(uid, series, 4))
            for image in found:
                image.save_as(tmp_path / "one.dcm", enforce_file_format=True)
                piece = spool.begin()
                piece.write((tmp_path / "one.dcm").read_bytes())
                spool.store(piece)
        record.fetched(spool.series_token(whole[0].SeriesInstanceUID), 4)
        record.close()
    site = Site(tmp_path)
    with pacs([(evt.EVT_C_FIND, answer), (evt.EVT_C_GET, send)]) as peer:
        pulled = site.pull(dimse(peer))
    assert (pulled.found, pulled.present, pulled.fetched) == (3, 1, 2)
    assert len(site.ingested) == 12 and site.states() == {"ingested": 3}
