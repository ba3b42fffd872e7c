"""A PACS asked over HTTP: QIDO-RS to search, WADO-RS to retrieve (PS3.18)."""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from fedvox.client.pacs.archive import Into
from fedvox.client.pacs.multipart import Parts, boundary_of
from fedvox.client.pacs.query import Series, Study, Window, is_uid
from fedvox.client.pacs.reasons import Reason, Unfetched
from fedvox.client.pacs.tls import TlsFiles
from fedvox.common.errors import InputError
from fedvox.common.identity.secret_files import read_secret

_PAGE = 500
_PAGES_AT_MOST = 1000
_ANSWER_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 18
_LONGEST_FETCH_S = 3600.0
_OBJECTS_AT_MOST = 100_000
_WHOLE_FILES = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_STUDY_UID, _SERIES_UID, _COUNT = "0020000D", "0020000E", "00201209"
_STUDY_DATE, _STUDY_TEXT, _SERIES_TEXT, _MODALITY = "00080020", "00081030", "0008103E", "00080060"
_REASONS = {
    401: Reason.UNAUTHORISED,
    403: Reason.UNAUTHORISED,
    404: Reason.NOT_FOUND,
    410: Reason.NOT_FOUND,
    400: Reason.UNSUPPORTED,
    406: Reason.UNSUPPORTED,
    415: Reason.UNSUPPORTED,
    501: Reason.UNSUPPORTED,
    413: Reason.TOO_LARGE,
    429: Reason.OVERLOADED,
    503: Reason.OVERLOADED,
}


@dataclass(frozen=True)
class Web:
    """Where a DICOMweb service is, and how it knows us."""

    url: str
    """Up to /studies, such as https://pacs/dicom-web."""
    token: str = field(default="", repr=False)
    patience_s: float = 60.0
    tls: TlsFiles = field(default_factory=TlsFiles)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError("--dicomweb: give a URL such as https://pacs.example/dicom-web")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise InputError(
                "--dicomweb: a URL without password and query; a token belongs into --token-file"
            )
        if self.token and parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise InputError("--dicomweb: a token is sent over https only; use the https URL")


def token_in(path: Path | None) -> str:
    """The bearer token in a file that its owner alone may read; empty without a file."""
    if path is None:
        return ""
    token = read_secret(path).decode("latin-1").strip()
    if not token or not token.isascii() or not token.isprintable():
        raise InputError(f"{path}: holds no token; one line of printable characters is wanted")
    return token


class WebArchive:
    """A DICOMweb service."""

    def __init__(self, web: Web, into: Into) -> None:
        self._url = web.url.rstrip("/")
        self._into = into
        headers = {"Accept-Encoding": "identity"}
        if web.token:
            headers["Authorization"] = f"Bearer {web.token}"
        self._client = httpx.Client(
            verify=web.tls.client() or True,
            trust_env=False,  # images of patients go through no proxy that happens to be set
            follow_redirects=False,
            timeout=web.patience_s,
            headers=headers,
        )

    def studies(self, modality: str, window: Window) -> Iterator[tuple[Study, str]]:
        """QIDO-RS for studies."""
        asked = {"ModalitiesInStudy": modality, "includefield": f"{_STUDY_TEXT},{_STUDY_DATE}"}
        if window.text:
            asked["StudyDate"] = window.text
        for found in self._search("/studies", asked, _STUDY_UID):
            yield (
                Study(_text(found, _STUDY_UID), _text(found, _STUDY_TEXT)),
                _text(found, _STUDY_DATE),
            )

    def series(self, study: Study, modality: str) -> Iterator[tuple[Series, str]]:
        """QIDO-RS for a study's series."""
        asked = {"Modality": modality, "includefield": f"{_SERIES_TEXT},{_COUNT}"}
        for found in self._search(f"/studies/{study.uid}/series", asked, _SERIES_UID):
            if _text(found, _MODALITY) == modality:
                count = _text(found, _COUNT)
                objects = int(count) if count.isdecimal() else None
                uid = _text(found, _SERIES_UID)
                yield Series(study.uid, uid, objects), _text(found, _SERIES_TEXT)

    def fetch(self, series: Series) -> int:
        """WADO-RS for a series: how many objects the answer held."""
        self._into.expect(series)
        path = f"/studies/{series.study_uid}/series/{series.uid}"
        deadline = time.monotonic() + _LONGEST_FETCH_S
        with self._answer(path, {}, _WHOLE_FILES) as answer:
            if answer.status_code == 204:
                return 0
            parts = Parts(
                _in_time(answer.iter_bytes(_CHUNK_BYTES), deadline),
                boundary_of(answer.headers.get("Content-Type", "")),
            )
            count = 0
            while parts.next():
                count += 1
                if count > _OBJECTS_AT_MOST:
                    raise Unfetched(Reason.TOO_LARGE)
                self._take(parts)
        return count

    def _take(self, parts: Parts) -> None:
        part = self._into.begin()
        try:
            parts.read(part.write)
            self._into.store(part)
        except Unfetched as error:
            if error.reason is not Reason.NOT_ASKED_FOR:
                raise
        finally:
            part.drop()

    def close(self) -> None:
        """Ends the connections."""
        self._client.close()

    def _search(self, path: str, asked: Mapping[str, str], key: str) -> Iterator[Mapping[str, Any]]:
        """Page after page, until one holds nothing new: servers cap pages as they like."""
        seen: set[str] = set()
        for _ in range(_PAGES_AT_MOST):
            paging = {**asked, "limit": str(_PAGE), "offset": str(len(seen))}
            page = self._page(path, paging)
            new = [found for found in page if _text(found, key) not in seen]
            if not new:
                return
            for found in new:
                uid = _text(found, key)
                seen.add(uid)
                if is_uid(uid):
                    yield found
        raise Unfetched(Reason.TOO_LARGE)

    def _page(self, path: str, asked: Mapping[str, str]) -> list[Mapping[str, Any]]:
        with self._answer(path, asked, "application/dicom+json") as answer:
            if answer.status_code == 204:
                return []
            body = bytearray()
            for chunk in answer.iter_bytes(_CHUNK_BYTES):
                body += chunk
                if len(body) > _ANSWER_BYTES:
                    raise Unfetched(Reason.TOO_LARGE)
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            raise Unfetched(Reason.BROKEN) from None
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise Unfetched(Reason.BROKEN)
        return found

    @contextmanager
    def _answer(self, path: str, asked: Mapping[str, str], accept: str) -> Iterator[httpx.Response]:
        try:
            with self._client.stream(
                "GET", self._url + path, params=dict(asked), headers={"Accept": accept}
            ) as answer:
                if answer.status_code not in (200, 204):
                    raise Unfetched(_REASONS.get(answer.status_code, Reason.FAILED))
                yield answer
        except httpx.TimeoutException:
            raise Unfetched(Reason.SLOW) from None
        except httpx.RemoteProtocolError:  # it ended in the middle
            raise Unfetched(Reason.INCOMPLETE) from None
        except httpx.HTTPError:
            raise Unfetched(Reason.UNREACHABLE) from None


def _in_time(chunks: Iterator[bytes], deadline: float) -> Iterator[bytes]:
    for chunk in chunks:
        if time.monotonic() > deadline:
            raise Unfetched(Reason.SLOW)
        yield chunk


def _text(found: Mapping[str, Any], tag: str) -> str:
    """The first value of an element of DICOM JSON as text; empty where there is none."""
    element = found.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    if not isinstance(values, list) or not values or isinstance(values[0], dict | list):
        return ""
    return str(values[0]).strip(" \0")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
