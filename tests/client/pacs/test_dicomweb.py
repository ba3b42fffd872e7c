"""DICOMweb services that behave badly, over real HTTP; Orthanc's own is in test_orthanc."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pacs_peers import ct
from pulls import Make, Site

from fedvox.client.pacs import dicomweb
from fedvox.client.pacs.dicomweb import Web, WebArchive, token_in
from fedvox.common.errors import FedvoxError, InputError

Answer = Callable[[BaseHTTPRequestHandler], None]
UIDS = {str(ct(n, 1)[0].StudyInstanceUID): n for n in (1, 2, 3)}


@contextmanager
def web(answer: Answer) -> Iterator[str]:
    """A server on this machine; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/dicom-web"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def over(url: str, patience_s: float = 10, token: str = "") -> Make:
    return lambda into: WebArchive(Web(url, token, patience_s), into)


def give(
    request: BaseHTTPRequestHandler,
    body: bytes,
    kind: str = "application/dicom+json",
    status: int = 200,
) -> None:
    request.send_response(status)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def element(vr: str, *values: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)}


def search(request: BaseHTTPRequestHandler) -> bool:
    """Answers a search, in pages of two; False where it was no search."""
    parts = urlsplit(request.path)
    start = int(parse_qs(parts.query).get("offset", ["0"])[0])
    if parts.path.endswith("/studies"):
        found = [{"0020000D": element("UI", uid)} for uid in UIDS]
    elif parts.path.endswith("/series") and "/studies/" in parts.path:
        series = str(ct(number_of(parts.path), 1)[0].SeriesInstanceUID)
        found = [{"0020000E": element("UI", series), "00080060": element("CS", "CT")}]
        found[0]["00201209"] = element("IS", 4)
    else:
        return False
    give(request, json.dumps(found[start : start + 2]).encode())
    return True


def number_of(path: str) -> int:
    return UIDS[path.split("/studies/")[1].split("/")[0]]


def multipart(images: list[Any]) -> bytes:
    body = b""
    for image in images:
        buffer = BytesIO()
        image.save_as(buffer, enforce_file_format=True)
        body += b"\r\n--b\r\nContent-Type: application/dicom\r\n\r\n" + buffer.getvalue()
    return body + b"\r\n--b--\r\n"


KIND = 'multipart/related; type="application/dicom"; boundary=b'


def serve(request: BaseHTTPRequestHandler) -> None:
    if not search(request):
        give(request, multipart(ct(number_of(request.path))), KIND)


def test_pages_are_read_to_the_end(tmp_path: Path) -> None:
    with web(serve) as url:
        pulled = Site(tmp_path).pull(over(url))
    assert (pulled.found, pulled.fetched, pulled.objects) == (3, 3, 12)


def test_a_server_that_knows_no_pages_is_not_asked_forever(tmp_path: Path) -> None:
    asked = []

    def everything(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        give(request, json.dumps([{"0020000D": element("UI", "1.2.3")}]).encode())

    with web(everything) as url:
        assert Site(tmp_path).pull(over(url)).found == 0
    assert len(asked) < 10


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "unauthorised"), (403, "unauthorised"), (404, "not-found"), (406, "unsupported"),
     (503, "overloaded"), (500, "failed"), (302, "failed"), (413, "too-large")],
)  # fmt: skip
def test_what_a_server_says_becomes_a_reason(tmp_path: Path, status: int, reason: str) -> None:
    def deny(request: BaseHTTPRequestHandler) -> None:
        if not search(request):
            if number_of(request.path) == 2:
                give(request, b"", "text/plain", status)
            else:
                serve(request)

    site = Site(tmp_path)
    with web(deny) as url:
        pulled = site.pull(over(url))
    assert (pulled.fetched, pulled.failed) == (2, {reason: 1})
    assert site.states() == {"ingested": 2, "failed": 1}


def cut(body: bytes) -> bytes:
    return body[: len(body) // 2]


def first_of(request: BaseHTTPRequestHandler) -> bytes:
    return multipart(ct(number_of(request.path))[:3])


def cut_within_chunks(request: BaseHTTPRequestHandler, body: bytes) -> None:
    request.protocol_version = "HTTP/1.1"
    request.send_response(200)
    request.send_header("Content-Type", KIND)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(cut(body))
    request.close_connection = True


@pytest.mark.parametrize(
    ("send", "reason"),
    [
        (lambda request, body: give(request, cut(body), KIND), "incomplete"),
        (cut_within_chunks, "incomplete"),
        (lambda request, body: give(request, body, "text/html"), "unsupported"),
        (lambda request, body: give(request, b"--b--", KIND), "not-found"),
        (lambda request, body: give(request, first_of(request), KIND), "incomplete"),
        (lambda request, body: give(request, multipart(ct(9)), KIND), "not-asked-for"),
        (lambda request, body: give(request, body.replace(b"DICM", b"ICMD"), KIND), "broken"),
        (lambda request, body: give(request, b"", KIND, 204), "not-found"),
    ],
    ids=["cut short", "cut off", "a page", "nothing", "a part", "another", "broken", "no content"],
)  # fmt: skip
def test_what_is_not_whole_is_not_taken(
    tmp_path: Path, send: Callable[[BaseHTTPRequestHandler, bytes], None], reason: str
) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        if not search(request):
            send(request, multipart(ct(number_of(request.path))))

    site = Site(tmp_path)
    with web(answer) as url:
        pulled = site.pull(over(url))
    assert site.ingested == [] and pulled.failed == {reason: 3}


@pytest.mark.parametrize("body", [b"{", b"{}", b"[1]", b"<html>", b"[" * 100_000, b"\xff"])
def test_a_search_whose_answer_makes_no_sense(tmp_path: Path, body: bytes) -> None:
    with web(lambda request: give(request, body)) as url:
        pulled = Site(tmp_path).pull(over(url))
    assert (pulled.found, pulled.unanswered) == (0, {"broken": 1})


@pytest.mark.parametrize("uid", ["../../etc", "1.2/../../x", "1?x=y", "", 12, None, {"a": 1}])
def test_what_is_no_uid_is_put_into_no_url(tmp_path: Path, uid: object) -> None:
    asked = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(urlsplit(request.path).path)
        give(request, json.dumps([{"0020000D": element("UI", uid)}]).encode())

    with web(answer) as url:
        assert Site(tmp_path).pull(over(url)).found == 0
    assert all(path in ("/dicom-web/studies", "/dicom-web/studies/12/series") for path in asked)


def test_an_answer_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicomweb, "_ANSWER_BYTES", 100_000)
    with web(lambda request: give(request, b" " * 200_000)) as url:
        assert Site(tmp_path).pull(over(url)).unanswered == {"too-large": 1}


def test_a_server_that_is_silent(tmp_path: Path) -> None:
    with web(lambda request: time.sleep(2)) as url:
        assert Site(tmp_path).pull(over(url, patience_s=0.3)).unanswered == {"slow": 1}


def test_a_token_goes_along_and_is_shown_nowhere(tmp_path: Path) -> None:
    seen = set()

    def answer(request: BaseHTTPRequestHandler) -> None:
        seen.add(request.headers["Authorization"])
        give(request, b"[]")

    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_text("s3cret-token\n")
    with web(answer) as url:
        Site(tmp_path).pull(over(url, token=token_in(path)))
        assert "s3cret" not in repr(Web(url, "s3cret"))
    assert seen == {"Bearer s3cret-token"}


def test_secrets_are_kept(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="https"):
        Web("http://pacs.example/dicom-web", "token")
    for url in ("ftp://x/y", "pacs", "https://user:word@pacs/x", "https://pacs/x?token=1"):
        with pytest.raises(InputError, match="--dicomweb"):
            Web(url)
    path = tmp_path / "token"
    path.write_text("x")
    path.chmod(0o644)
    with pytest.raises(FedvoxError, match="chmod 600"):
        token_in(path)
    path.chmod(0o600)
    path.write_text("two\nlines")
    with pytest.raises(InputError, match="one line"):
        token_in(path)
    assert token_in(None) == ""
