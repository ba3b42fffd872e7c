"""The storage SCP, against dcmtk and pynetdicom as senders, polite and not."""

import socket
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mounts import small_disk
from orthanc import free_port, require
from pacs_peers import ECHOSCU, associated, ct, ct_files, receiving, storescu
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import CTImageStorage, StudyRootQueryRetrieveInformationModelFind

from fedvox.client.pacs.allow import AllowList
from fedvox.client.pacs.part import Limits
from fedvox.common.errors import InputError


def soon(what: Callable[[], bool], within_s: float = 15) -> bool:
    deadline = time.monotonic() + within_s
    while not what() and time.monotonic() < deadline:
        time.sleep(0.02)
    return what()


def test_dcmtk_stores_and_what_lies_there_is_what_was_sent(tmp_path: Path) -> None:
    files = ct_files(tmp_path / "src", 1) + ct_files(tmp_path / "src", 2)
    with receiving(tmp_path) as here:
        assert storescu(here.port, tmp_path / "src") == ""
        assert here.receiver.tally.received == len(here.received) == len(files) == 8
        assert len(here.spool.studies()) == 2
        sent = {dcmread(path).SOPInstanceUID: dcmread(path) for path in files}
        for path in here.files():
            got = dcmread(path)
            assert got == sent[got.SOPInstanceUID]
            assert got.file_meta.MediaStorageSOPInstanceUID == got.SOPInstanceUID


def test_dcmtk_echoes(tmp_path: Path) -> None:
    require(ECHOSCU)
    with receiving(tmp_path) as here:
        port = str(here.port)
        assert subprocess.run([ECHOSCU, "-aec", "FEDVOX", "127.0.0.1", port]).returncode == 0


@pytest.mark.parametrize(
    ("option", "syntax"),
    [
        ("+ti", ImplicitVRLittleEndian),
        ("+tb", ExplicitVRBigEndian),
        ("+td", DeflatedExplicitVRLittleEndian),
    ],
)
def test_other_encodings_come_as_they_are(tmp_path: Path, option: str, syntax: str) -> None:
    require(Path("/usr/bin/dcmconv"))
    plain, path = ct_files(tmp_path, 1, slices=1)[0], tmp_path / "one.dcm"
    subprocess.run(["dcmconv", option, plain, path], check=True)
    entity = AE()
    entity.add_requested_context(CTImageStorage, syntax)
    with receiving(tmp_path) as here:
        made = entity.associate("127.0.0.1", here.port, ae_title="FEDVOX")
        assert made.send_c_store(path).Status == 0
        made.release()
        got = dcmread(here.files()[0])
        assert got.file_meta.TransferSyntaxUID == syntax
        assert (got.pixel_array == dcmread(plain).pixel_array).all()


def test_it_is_acknowledged_only_when_it_is_kept(tmp_path: Path) -> None:
    with receiving(tmp_path) as here, associated(here.port) as sender:
        for number, image in enumerate(ct(1, 3)):
            assert sender.send_c_store(image).Status == 0
            assert len(here.files()) == number + 1
        assert here.receiver.is_busy(here.received[0].study)
        sender.release()
        assert soon(lambda: not here.receiver.is_busy(here.received[0].study))


def refusals(here: object) -> set[tuple[str, str]]:
    return {(one.why, one.title) for one in here.refused.all()}  # type: ignore[attr-defined]


def test_who_is_not_on_the_list_is_turned_away_and_recorded(tmp_path: Path) -> None:
    files = ct_files(tmp_path / "src", 1)
    with receiving(tmp_path, allow=AllowList.of(["PACS@127.0.0.1", "FAR@10.255.0.1"])) as here:
        said = storescu(here.port, "-aet", "SPY", *files)
        assert "Calling AE Title Not Recognized" in said
        assert "Calling AE Title Not Recognized" in storescu(here.port, "-aet", "FAR", *files)
        said = storescu(here.port, "-aet", "PACS", *files, called="OTHER")
        assert "Called AE Title Not Recognized" in said
        assert here.files() == []
        assert storescu(here.port, "-aet", "PACS", *files) == ""
        assert refusals(here) == {
            ("calling-ae", "SPY"),
            ("calling-ae", "FAR"),
            ("called-ae", "PACS"),
        }


def test_what_is_no_image_is_not_agreed_on(tmp_path: Path) -> None:
    entity = AE()
    entity.add_requested_context("1.2.840.10008.5.1.4.1.1.88.11")  # a report
    entity.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    with receiving(tmp_path) as here:
        made = entity.associate("127.0.0.1", here.port, ae_title="FEDVOX")
        assert not made.is_established


def test_a_broken_object_is_refused_and_the_next_one_is_not(tmp_path: Path) -> None:
    broken, whole = ct(1, 2)
    del broken.StudyInstanceUID
    with receiving(tmp_path) as here, associated(here.port) as sender:
        assert sender.send_c_store(broken).Status == 0xC000
        assert sender.send_c_store(whole).Status == 0
        assert here.receiver.tally.not_stored == {"broken": 1}
        assert len(here.files()) == 1 and here.unfinished() == []


def test_an_object_that_is_too_large_is_refused(tmp_path: Path) -> None:
    large, small = ct(1, 1, size=400)[0], ct(2, 1)[0]
    with receiving(tmp_path, Limits(100_000, 0)) as here, associated(here.port) as sender:
        assert sender.send_c_store(large).Status == 0xA702
        assert sender.send_c_store(small).Status == 0
        assert here.unfinished() == []


def test_a_full_disk_is_said_and_what_was_acknowledged_is_there(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "small", "600k") as home,
        receiving(home, Limits(1 << 20, 0)) as here,
        associated(here.port) as sender,
    ):
        statuses = [sender.send_c_store(image).Status for image in ct(1, 8, size=200)]
        kept = here.files()
        assert 0xA700 in statuses and 0 in statuses and set(statuses) == {0, 0xA700}
        assert len(kept) == statuses.count(0) and here.unfinished() == []
        assert all(dcmread(path).pixel_array.shape == (200, 200) for path in kept)
        kept[0].unlink()
        assert sender.send_c_store(ct(1, 8, size=200)[0]).Status == 0


def test_a_transfer_that_is_cut_off_leaves_nothing(tmp_path: Path) -> None:
    with receiving(tmp_path) as here, associated(here.port) as sender:
        begin_store(sender, ct(1, 1, size=300)[0].SOPInstanceUID)
        assert soon(lambda: len(here.unfinished()) == 1)
        sender.abort()
        assert soon(lambda: here.unfinished() == [])
        assert here.files() == []


def begin_store(sender: Association, uid: str) -> None:
    """A C-STORE request whose data set never ends."""
    from io import BytesIO

    from pynetdicom.dimse_messages import C_STORE_RQ
    from pynetdicom.dimse_primitives import C_STORE

    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = CTImageStorage, uid
    request.DataSet = BytesIO(bytes(300_000))
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    message.context_id = sender.accepted_contexts[0].context_id
    for piece in list(message.encode_msg(message.context_id, 16_382))[:-2]:
        sender.dul.send_pdu(piece)


def test_who_says_nothing_is_cut_off_and_holds_nobody_up(tmp_path: Path) -> None:
    with receiving(tmp_path, idle_s=1.0) as here:
        with socket.create_connection(("127.0.0.1", here.port)) as silent:
            with associated(here.port) as sender:
                assert sender.send_c_store(ct(1, 1)[0]).Status == 0
            silent.settimeout(15)
            assert silent.recv(100) == b""
        with socket.create_connection(("127.0.0.1", here.port)) as dribbling:
            dribbling.sendall(struct.pack(">BBL", 1, 0, 200) + b"\0\1")
            dribbling.settimeout(15)
            assert dribbling.recv(100) == b""
        with associated(here.port) as idle:
            assert soon(lambda: not idle.is_established)


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack(">BBL", 1, 0, 0xFFFFFFF0) + b"x" * 1000,
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">BBL", 4, 0, 10) + bytes(10),
        struct.pack(">BBL", 1, 0, 68) + bytes(68),
    ],
    ids=["a PDU of 4 GiB", "another protocol", "data before anything", "an empty request"],
)
def test_nonsense_ends_the_connection_and_nothing_else(tmp_path: Path, sent: bytes) -> None:
    with receiving(tmp_path, idle_s=1.0) as here:
        with socket.create_connection(("127.0.0.1", here.port)) as peer:
            peer.sendall(sent)
            peer.settimeout(15)
            while peer.recv(1000):
                pass
        with associated(here.port) as sender:
            assert sender.send_c_echo().Status == 0


def test_who_is_silent_within_a_pdu_holds_up_no_end(tmp_path: Path) -> None:
    with receiving(tmp_path, idle_s=60.0) as here, associated(here.port) as sender:
        transport = sender.dul.socket
        assert transport is not None and transport.socket is not None
        transport.socket.sendall(struct.pack(">BBL", 4, 0, 1000) + bytes(10))
        time.sleep(0.3)
        begun = time.monotonic()
        here.receiver.__exit__(None, None, None)
        assert time.monotonic() - begun < 10
        here.receiver.__enter__()  # for the block, which ends it again


def test_no_more_associations_than_are_bounded(tmp_path: Path) -> None:
    with receiving(tmp_path, associations_at_most=2) as here:
        with associated(here.port), associated(here.port):
            with associated(here.port, "THIRD") as third:
                assert third.is_rejected
            assert soon(lambda: ("too-many", "THIRD") in refusals(here))
        with associated(here.port) as later:
            assert later.is_established


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    port = free_port()
    taken = pytest.raises(InputError, match=f"port {port}.*--port")
    with receiving(tmp_path / "a", port=port), taken, receiving(tmp_path / "b", port=port):
        pass
