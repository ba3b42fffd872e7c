"""Associations that we open: every answer reaches who asked."""

import threading
from contextlib import closing
from pathlib import Path
from typing import Any

from pacs_peers import ROOMY, pacs
from pydicom.dataset import Dataset
from pynetdicom import evt

from fedvox.client.pacs.archive import Into
from fedvox.client.pacs.dimse import DimseArchive
from fedvox.client.pacs.peer import Asking, Peer
from fedvox.client.pacs.query import Window
from fedvox.client.pacs.spool import Spool

STUDIES, QUESTIONS = 20, 10


def answer(event: Any) -> Any:
    for number in range(STUDIES):
        found = Dataset()
        found.QueryRetrieveLevel, found.ModalitiesInStudy = "STUDY", "CT"
        found.StudyInstanceUID, found.StudyDate = f"1.2.3.{number}", "20240101"
        yield 0xFF00, found


def test_no_answer_is_taken_by_a_thread_that_looks_for_requests(tmp_path: Path) -> None:
    """On a busy machine pynetdicom's own thread looks while we ask; here one always does."""
    handlers = [(evt.EVT_C_FIND, answer)]
    with pacs(handlers) as place, Spool(tmp_path, "d", "pull", ROOMY) as spool:
        asking = Asking(Peer.of(place), "FEDVOX", "get", 5.0)
        with closing(DimseArchive(asking, Into(spool))) as archive:
            done = threading.Event()

            def look() -> None:
                while not done.is_set():
                    made = archive._association
                    if made is not None:
                        made.dimse.get_msg(block=False)

            looking = threading.Thread(target=look)
            looking.start()
            try:
                for _ in range(QUESTIONS):
                    found = [study.uid for study, _ in archive.studies("CT", Window())]
                    assert found == [f"1.2.3.{number}" for number in range(STUDIES)]
            finally:
                done.set()
                looking.join()
