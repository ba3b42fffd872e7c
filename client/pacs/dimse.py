"""A PACS asked by C-FIND, which sends by C-MOVE or within a C-GET."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from fedvox.client.pacs import association as bounds
from fedvox.client.pacs.archive import Into
from fedvox.client.pacs.classes import STORED, SYNTAXES
from fedvox.client.pacs.peer import Asking
from fedvox.client.pacs.query import Series, Study, Window, is_uid
from fedvox.client.pacs.reasons import Reason, Unfetched

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pynetdicom.association import Association
    from pynetdicom.events import Event

_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
_GET = "1.2.840.10008.5.1.4.1.2.2.3"
_ANSWERS_AT_MOST = 100_000
_LONGEST_FETCH_S = 3600.0
_LATE_S = 5.0
_PENDING = (0xFF00, 0xFF01)
_REASONS = {
    0xA700: Reason.OVERLOADED,
    0xA701: Reason.OVERLOADED,
    0xA702: Reason.OVERLOADED,
    0xA801: Reason.UNKNOWN_DESTINATION,
    0xA900: Reason.UNSUPPORTED,
    0x0122: Reason.UNSUPPORTED,
    0x0124: Reason.UNAUTHORISED,
    0xFE00: Reason.OVERLOADED,
}


class DimseArchive:
    """Keeps one association at a time, and makes a new one when it was lost."""

    def __init__(self, asking: Asking, into: Into) -> None:
        self._asking = asking
        self._into = into
        self._association: Association | None = None
        self._purpose = ""
        self._tls = asking.tls.client()

    def studies(self, modality: str, window: Window) -> Iterator[tuple[Study, str]]:
        """C-FIND at study level."""
        keys = {
            "StudyInstanceUID": "",
            "StudyDescription": "",
            "StudyDate": window.text,
            "ModalitiesInStudy": modality,
        }
        for found in self._find("STUDY", keys):
            uid = _text(found, "StudyInstanceUID")
            if is_uid(uid):
                study = Study(uid, _text(found, "StudyDescription"))
                yield study, _text(found, "StudyDate")

    def series(self, study: Study, modality: str) -> Iterator[tuple[Series, str]]:
        """C-FIND at series level."""
        keys = {
            "StudyInstanceUID": study.uid,
            "SeriesInstanceUID": "",
            "SeriesDescription": "",
            "Modality": modality,
            "NumberOfSeriesRelatedInstances": "",
        }
        for found in self._find("SERIES", keys):
            uid = _text(found, "SeriesInstanceUID")
            if is_uid(uid) and _text(found, "Modality") == modality:
                count = _text(found, "NumberOfSeriesRelatedInstances")
                objects = int(count) if count.isdecimal() else None
                yield Series(study.uid, uid, objects), _text(found, "SeriesDescription")

    def fetch(self, series: Series) -> int:
        """C-MOVE to our own SCP, or C-GET; the sub-operations that the PACS calls successful."""

        self._into.expect(series)
        deadline = time.monotonic() + _LONGEST_FETCH_S
        last: Dataset | None = None
        with self._usable():
            for status, _ in self._retrieval(series):
                last = status
                if time.monotonic() > deadline:  # it says again and again that there is more
                    raise self._lost()
        completed = self._outcome(last)
        if self._asking.method == "move":
            self._await(completed)
        return completed

    def _await(self, count: int) -> None:
        """The answer to a C-MOVE may overtake the last objects, which come another way."""
        late = time.monotonic() + _LATE_S
        while self._into.came < count and not self._into.refused and time.monotonic() < late:
            time.sleep(0.02)

    def _retrieval(self, series: Series) -> Iterator[tuple[Dataset, Dataset | None]]:
        from pydicom.dataset import Dataset

        wanted = Dataset()
        wanted.QueryRetrieveLevel = "SERIES"
        wanted.StudyInstanceUID = series.study_uid
        wanted.SeriesInstanceUID = series.uid
        if self._asking.method == "get":
            return self._opened(_GET).send_c_get(wanted, _GET)
        return self._opened(_MOVE).send_c_move(wanted, self._asking.title, _MOVE)

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """What pynetdicom says against using an association, as a reason."""
        try:
            yield
        except ValueError:  # the service was not agreed on
            raise Unfetched(Reason.UNSUPPORTED) from None
        except RuntimeError:  # it has just ended
            raise self._lost() from None

    def _outcome(self, status: Dataset | None) -> int:
        if status is None or "Status" not in status:
            raise self._lost()
        completed = int(status.get("NumberOfCompletedSuboperations", 0) or 0)
        completed += int(status.get("NumberOfWarningSuboperations", 0) or 0)
        failed = int(status.get("NumberOfFailedSuboperations", 0) or 0)
        code = int(status.Status)
        if self._into.refused:
            raise self._into.refused[0]
        if code == 0 and not failed:
            return completed
        if code in _REASONS:
            raise Unfetched(_REASONS[code])
        raise Unfetched(Reason.INCOMPLETE if completed else Reason.FAILED)

    def _find(self, level: str, keys: dict[str, str]) -> Iterator[Dataset]:
        from pydicom.dataset import Dataset

        asked = Dataset()
        asked.QueryRetrieveLevel = level
        for keyword, value in keys.items():
            setattr(asked, keyword, value)
        with self._usable():
            answers = self._opened(_FIND).send_c_find(asked, _FIND)
            for count, (status, found) in enumerate(answers):
                code = status.get("Status")
                if code is None:
                    raise self._lost()
                if count > _ANSWERS_AT_MOST:
                    self._abort()
                    raise Unfetched(Reason.TOO_LARGE)
                if code in _PENDING and found is not None:
                    yield found
                elif code not in (0, *_PENDING):
                    raise Unfetched(_REASONS.get(int(code), Reason.FAILED))

    def _opened(self, purpose: str) -> Association:
        now = self._association
        if now is not None and now.is_established and self._purpose == purpose:
            return now
        self.close()
        self._association, self._purpose = self._associate(purpose), purpose
        return self._association

    def _associate(self, purpose: str) -> Association:
        from pynetdicom import evt
        from pynetdicom.ae import ApplicationEntity

        own, patience_s = self._asking, self._asking.patience_s
        entity = ApplicationEntity(own.title)
        entity.connection_timeout = min(patience_s, 15.0)
        entity.acse_timeout = entity.dimse_timeout = patience_s
        entity.network_timeout = patience_s * 10  # for pauses between questions
        entity.add_requested_context(purpose)
        roles = _take_storage(entity) if purpose == _GET else []

        def opened(event: Event) -> None:
            bounds.bound(event.assoc, self._into.begin, patience_s)

        try:
            made = entity.associate(
                own.peer.host,
                own.peer.port,
                ae_title=own.peer.title,
                max_pdu=bounds.LARGEST_PDU_BYTES,
                ext_neg=roles,
                tls_args=(self._tls, own.peer.host) if self._tls else None,
                evt_handlers=[(evt.EVT_CONN_OPEN, opened), (evt.EVT_C_STORE, self._on_store)],
            )
        except OSError:
            raise Unfetched(Reason.UNREACHABLE) from None
        if made.is_established:
            return made
        raise Unfetched(_why_not(made))

    def _on_store(self, event: Event) -> int:
        from fedvox.client.pacs.receiver import ACCEPTED, status_of

        try:
            self._into.store(bounds.part_of(event.request))
        except Unfetched as error:
            return status_of(error)
        return ACCEPTED

    def _lost(self) -> Unfetched:
        """The association ended, or nothing came in time."""
        self._abort()
        return Unfetched(Reason.SLOW)

    def _abort(self) -> None:
        made, self._association = self._association, None
        if made is not None:
            bounds.end(made)
            bounds.drop_unfinished(made)

    def close(self) -> None:
        """Ends the association in order, or at all."""
        made, self._association = self._association, None
        if made is None:
            return
        with suppress(Exception):  # it may be ending by itself meanwhile
            made.release() if made.is_established else None
        bounds.drop_unfinished(made)


def _take_storage(entity: Any) -> list[Any]:
    """Has the other side store over the same association; the items that say so."""
    from pynetdicom.presentation import build_role

    for uid in STORED:
        entity.add_requested_context(uid, list(SYNTAXES))
    return [build_role(uid, scp_role=True) for uid in STORED]


def _why_not(association: Association) -> Reason:
    if association.is_rejected:
        return Reason.REFUSED
    accepted = association.acceptor.primitive is not None
    return Reason.UNSUPPORTED if accepted else Reason.UNREACHABLE


def _text(found: Dataset, keyword: str) -> str:
    """A value as text; empty where it is missing or cannot be read."""
    try:
        value = found.get(keyword)
        return "" if value is None else str(value).strip(" \0")
    except Exception:  # a decoder of bytes from the network raises anything
        return ""
