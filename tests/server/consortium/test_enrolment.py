"""The desk as it stands in the network: real TLS, and whatever people may send it."""

import json
import socket
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from enrolment import Consortium, consortium, free_port, serving

from fedvox.common.identity.certificates import certificates_of, identity_of, utc_now
from fedvox.common.identity.credentials import Credentials, write_credentials
from fedvox.common.identity.enrolment import MOST_BYTES, EnrolmentAnswer, EnrolmentRequest
from fedvox.common.identity.issuing import issue_site
from fedvox.common.identity.keys import fingerprint, new_key
from fedvox.common.identity.kit import Kit
from fedvox.common.identity.refusals import EnrolmentRefusal
from fedvox.common.identity.tls import joining_context, site_context
from fedvox.server.consortium.admission import invite
from fedvox.server.consortium.members import revoke_site


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    port = free_port()
    made = consortium(tmp_path_factory.mktemp("trial") / "hub", port)
    with serving(made, port):
        yield made


@pytest.fixture
def kit(hub: Consortium, request: pytest.FixtureRequest) -> Kit:
    name = request.node.name.replace("_", "-").replace("[", "-").replace("]", "")[:60].strip("-")
    return invite(hub.authority, name.lower())


def talking(hub: Consortium, own: Credentials | None = None) -> httpx.Client:
    context = site_context(own) if own else joining_context(hub.authority.credentials().root)
    base = f"https://{hub.authority.settings.addresses[0]}"
    return httpx.Client(base_url=base, verify=context, trust_env=False)


def enrolled(hub: Consortium, kit: Kit, folder: Path) -> Credentials:
    key = new_key()
    request = EnrolmentRequest.make(kit.site, key, kit.token)
    with talking(hub) as http:
        answer = EnrolmentAnswer.parse(http.post("/v1/enrol", content=request.text()).content, "")
    write_credentials(folder, key, answer.chain, answer.root)
    return Credentials.load(folder)


def assert_refused(response: httpx.Response, refusal: EnrolmentRefusal, status: int = 403) -> None:
    assert response.status_code == status
    assert response.json() == {"code": str(refusal), "sentence": refusal.sentence}


def test_anybody_may_have_the_roots_certificate(hub: Consortium) -> None:
    with talking(hub) as http:
        papers = http.get("/v1/enrol/authority").json()
    assert set(papers) == {"root", "issuing"} and "PRIVATE" not in json.dumps(papers)
    root = certificates_of(papers["root"].encode(), "root")[0]
    assert fingerprint(root) == hub.authority.credentials().authority


def test_from_a_kit_to_a_renewed_certificate(hub: Consortium, kit: Kit, tmp_path: Path) -> None:
    own = enrolled(hub, kit, tmp_path)
    assert own.identity.name == kit.site
    request = EnrolmentRequest.make(kit.site, own.key)
    with talking(hub, own) as http:
        response = http.post("/v1/enrol/renew", content=request.text())
    assert response.status_code == 200
    renewed = EnrolmentAnswer.parse(response.content, "")
    assert identity_of(renewed.chain[0]).public_key == own.identity.public_key


def test_renewal_without_a_certificate_is_refused(hub: Consortium, kit: Kit) -> None:
    request = EnrolmentRequest.make(kit.site, new_key())
    with talking(hub) as http:
        response = http.post("/v1/enrol/renew", content=request.text())
    assert_refused(response, EnrolmentRefusal.NO_CERTIFICATE)


def test_a_revoked_site_renews_nothing(hub: Consortium, kit: Kit, tmp_path: Path) -> None:
    own = enrolled(hub, kit, tmp_path)
    revoke_site(hub.authority, kit.site)
    with talking(hub, own) as http:
        request = EnrolmentRequest.make(kit.site, own.key)
        response = http.post("/v1/enrol/renew", content=request.text())
    assert_refused(response, EnrolmentRefusal.REVOKED)
    assert hub.said[-1] == ("enrolment-refused", {"code": "revoked", "site": kit.site})


def test_an_expired_certificate_does_not_even_connect(
    hub: Consortium, kit: Kit, tmp_path: Path
) -> None:
    own = enrolled(hub, kit, tmp_path)
    issuer, then = hub.authority.issuer(), utc_now() - timedelta(days=20)
    old = issue_site(kit.site, own.key.public_key(), issuer, then, timedelta(days=14))
    write_credentials(tmp_path, own.key, [old, issuer.certificate], own.root)
    request = EnrolmentRequest.make(kit.site, own.key)
    with talking(hub, Credentials.load(tmp_path)) as http, pytest.raises(httpx.TransportError):
        http.post("/v1/enrol/renew", content=request.text())


def test_a_replayed_request_is_refused_and_recorded(hub: Consortium, kit: Kit) -> None:
    request = EnrolmentRequest.make(kit.site, new_key(), kit.token).text()
    with talking(hub) as http:
        assert http.post("/v1/enrol", content=request).status_code == 200
        assert_refused(http.post("/v1/enrol", content=request), EnrolmentRefusal.REPLAYED)
    assert hub.said[-1] == ("enrolment-refused", {"code": "replayed", "site": ""})


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"\x00" * 1000, b"[" * 5000, b'{"csr": "-----BEGIN"}', b"\xff\xfe"]
)
def test_malformed_bodies(hub: Consortium, body: bytes) -> None:
    with talking(hub) as http:
        response = http.post("/v1/enrol", content=body)
    assert_refused(response, EnrolmentRefusal.MALFORMED, 400)


def test_a_body_that_is_too_large_is_not_read_to_its_end(hub: Consortium) -> None:
    """Announced or in chunks without end, it is refused after little more than its limit."""
    address = hub.authority.settings.addresses[0]
    context = joining_context(hub.authority.credentials().root)
    for header in (b"Content-Length: 100000000", b"Transfer-Encoding: chunked"):
        host, port = address.split(":")
        with (
            socket.create_connection((host, int(port)), timeout=20) as plain,
            context.wrap_socket(plain, server_hostname=host) as talk,
        ):
            talk.sendall(b"POST /v1/enrol HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n")
            chunk = b"x" * 16384
            framed = b"4000\r\n" + chunk + b"\r\n" if b"chunked" in header else chunk
            sent = 0
            try:
                while sent < 1024 * MOST_BYTES:  # more than any buffer between holds
                    talk.sendall(framed)
                    sent += len(chunk)
            except (OSError, ssl.SSLError):
                pass
            else:
                pytest.fail("the whole body was taken")


def test_the_answer_to_a_large_body_is_a_refusal(hub: Consortium) -> None:
    with talking(hub) as http:
        response = http.post("/v1/enrol", content=b"x" * (MOST_BYTES + 1))
    assert_refused(response, EnrolmentRefusal.TOO_LARGE, 413)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/enrol", 405), ("POST", "/v1/enrol/authority", 405), ("GET", "/", 404),
        ("GET", "/docs", 404), ("GET", "/openapi.json", 404), ("POST", "/v1/enrol/../control", 404),
        ("GET", "/v1/enrol/authority/../../../etc/passwd", 404), ("PUT", "/v1/enrol", 405),
    ],
)  # fmt: skip
def test_there_is_nothing_else(hub: Consortium, method: str, path: str, status: int) -> None:
    with talking(hub) as http:
        response = http.request(method, path)
    assert response.status_code == status and response.json()["code"] == "not-here"


def test_a_failure_tells_nothing_of_its_reason(hub: Consortium, kit: Kit) -> None:
    path = hub.home / "authority/issuing.key"
    away = path.rename(path.with_suffix(".away"))
    try:
        request = EnrolmentRequest.make(kit.site, new_key(), kit.token)
        with talking(hub) as http:
            response = http.post("/v1/enrol", content=request.text())
    finally:
        away.rename(path)
    assert_refused(response, EnrolmentRefusal.FAILED, 500)
    assert str(hub.home) not in response.text
    with talking(hub) as http:  # the token is not used up by it
        again = EnrolmentRequest.make(kit.site, new_key(), kit.token)
        assert http.post("/v1/enrol", content=again.text()).status_code == 200
