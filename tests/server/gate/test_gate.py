"""The outward port under real TLS: who is let in, for what, and who is not."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import enrolment
import httpx
import parties
import pytest
from flwr.proto import fleet_pb2 as fleet
from flwr.proto import message_pb2
from flwr.proto.node_pb2 import Node
from flwr.proto.recorddict_pb2 import RecordDict as ProtoRecordDict
from gates import GateProcess, Town, town, until

from fedvox.client.joining.dialling import Proxy
from fedvox.client.link.dial import Line
from fedvox.common.frames import framed
from fedvox.common.identity.certificates import utc_now
from fedvox.common.identity.credentials import Credentials, write_credentials
from fedvox.common.identity.issuing import issue_operator, issue_site
from fedvox.common.identity.keys import new_key
from fedvox.common.identity.names import Rank
from fedvox.server.gate.ticket import RunTicket

PROTOBUF = "application/protobuf"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    bounds = {"head_s": 1.5, "body_s": 1.0, "handshake_s": 1.5, "body_bytes_per_s": 1 << 30,
              "connections_of_stranger": 8}  # fmt: skip
    with town(tmp_path_factory.mktemp("town"), "a", "b", **bounds) as made:
        yield made


class Caller:
    """Asks the gate with a site's certificate, and says what it likes."""

    def __init__(self, place: Town, line: Line) -> None:
        self.url = f"{place.url}/v1/fleet/"
        self.line = line
        self.key = line.own.identity.public_key
        self.headers = {
            "flwr-public-key": base64.b64encode(self.key).decode(),
            "content-type": PROTOBUF,
        }

    def ask(self, call: str, request: Any, **headers: str) -> httpx.Response:
        return self.send(call, request.SerializeToString(), **headers)

    def send(self, call: str, body: Any, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.line.http.post(self.url + call, content=body, headers={**self.headers, **named})

    def activate(self) -> int:
        asked = fleet.ActivateNodeRequest(public_key=self.key, heartbeat_interval=30)
        said = self.ask("activate-node", asked)
        assert said.status_code == 200, said.text
        return int(fleet.ActivateNodeResponse.FromString(said.content).node_id)


@pytest.fixture
def a(place: Town) -> Iterator[Caller]:
    line = place.line("a")
    yield Caller(place, line)
    line.close()


@pytest.fixture
def b(place: Town) -> Iterator[Caller]:
    line = place.line("b")
    yield Caller(place, line)
    line.close()


def code(said: httpx.Response) -> str:
    return str(json.loads(said.content)["code"])


def reasons_of(place: Town, site: str) -> list[str]:
    return [one["reason"] for one in place.gate.records("refused") if one.get("site") == site]


def raw(place: Town, sent: bytes, seconds: float = 8.0, site: str = "a") -> bytes:
    """What comes back to these bytes over TLS with a site's certificate."""
    context = ssl_of(Credentials.load(place.homes[site] / "identity"))
    with connected(place, context) as tls:
        tls.settimeout(seconds)
        tls.sendall(sent)
        received = b""
        with contextlib.suppress(TimeoutError, OSError):
            while part := tls.recv(65536):
                received += part
        return received


def ssl_of(own: Credentials) -> ssl.SSLContext:
    from fedvox.common.identity.tls import site_context

    return site_context(own)


@contextlib.contextmanager
def connected(place: Town, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection(("127.0.0.1", place.gate.port), timeout=8) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as tls,
    ):
        yield tls


# --- paths ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/", "/health", "/docs", "/openapi.json", "/metrics", "/v1/control/start-run",
        "/v1/control/list-nodes", "/v1/runtime/acquire-task", "/v1/runtime/pull-messages",
        "/v1/runtime/answered", "/v1/fleet", "/v1/fleet/", "/v1/fleet/register-node",
        "/v1/fleet/unregister-node", "/v1/fleet/get-fab", "/v1/responses", "/v1/fleet/start-run",
    ],
)  # fmt: skip
def test_nothing_but_the_fleet_and_enrolment_answers(place: Town, a: Caller, path: str) -> None:
    for method in ("GET", "POST"):
        said = a.line.http.request(method, place.url + path, content=b"", headers=a.headers)
        assert said.status_code == 404, f"{method} {path}: {said.status_code}"
    assert "no-such-path" in reasons_of(place, "a")


@pytest.mark.parametrize(
    "target",
    [
        b"/v1/fleet/../control/start-run", b"/v1/fleet/%2e%2e/control/start-run",
        b"/v1/fleet/..%2fcontrol%2fstart-run", b"/v1/fleet//pull-messages",
        b"//v1/fleet/pull-messages", b"/v1/fleet/./pull-messages", b"/v1/fleet/pull-messages/",
        b"/v1/fleet/pull-messages?x=1", b"/v1/fleet/pull%2dmessages", b"/V1/fleet/pull-messages",
        b"/v1/fleet/pull-messages%00", b"/v1/fleet\\pull-messages", b"/v1/fleet/pull-messages;a",
        b"/v1/enrol/../control/start-run", b"/v1/enrol/%2e%2e/runtime/acquire-task",
        b"https://127.0.0.1/v1/control/start-run",
        b"/v1/control/start-run/../../fleet/pull-messages", b"/v1/enrolled", b"*",
    ],
)  # fmt: skip
def test_no_spelling_of_a_path_leads_anywhere_else(place: Town, target: bytes) -> None:
    said = raw(
        place,
        b"POST " + target + b" HTTP/1.1\r\nhost: x\r\ncontent-type: application/protobuf\r\n"
        b"content-length: 0\r\nconnection: close\r\n\r\n",
    )
    assert said.split(b" ")[1] in (b"404", b"400"), said[:80]


def test_enrolment_answers_without_a_certificate(place: Town) -> None:
    with httpx.Client(verify=False, trust_env=False) as http:
        assert http.get(f"{place.url}/v1/enrol/authority").status_code == 200
        said = http.post(f"{place.url}/v1/enrol", content=b"{}")
        assert (said.status_code, code(said)) == (400, "malformed")
        assert http.post(f"{place.url}/v1/enrol/renew", content=b"{}").status_code == 403
        assert http.post(f"{place.url}/v1/enrol", content=b"x" * (1 << 20)).status_code == 413


# --- who --------------------------------------------------------------------------------------


def test_a_member_is_let_in(place: Town, a: Caller) -> None:
    node = a.activate()
    assert node == a.activate(), "a site that was restarted is let in at once"
    assert "a" in place.gate.online()
    said = a.ask("pull-messages", fleet.PullMessagesRequest(node=Node(node_id=node)))
    assert (said.status_code, said.content) == (200, b"")


def test_without_a_certificate_nobody_is(place: Town) -> None:
    with httpx.Client(verify=False, trust_env=False) as http:
        said = http.post(f"{place.url}/v1/fleet/pull-messages", content=b"")
    assert (said.status_code, code(said)) == (403, "no-certificate")
    assert "no-certificate" in place.gate.reasons()


def test_another_sites_key_with_ones_own_certificate_is_refused(
    place: Town, a: Caller, b: Caller
) -> None:
    theirs = b.headers["flwr-public-key"]
    asked = fleet.ActivateNodeRequest(public_key=b.key, heartbeat_interval=30)
    said = a.ask("activate-node", asked, flwr_public_key=theirs)
    assert (said.status_code, code(said)) == (403, "not-own-key")
    said = a.ask("activate-node", asked)
    assert (said.status_code, code(said)) == (403, "not-own-key")
    for wrong in ("", "%%%", base64.b64encode(b"no key").decode()):
        assert code(a.ask("activate-node", asked, flwr_public_key=wrong)) == "not-own-key"
    assert "not-own-key" in reasons_of(place, "a")


def test_a_key_header_given_twice_is_refused(place: Town, a: Caller, b: Caller) -> None:
    own, theirs = a.headers["flwr-public-key"], b.headers["flwr-public-key"]
    said = raw(
        place,
        f"POST /v1/fleet/pull-messages HTTP/1.1\r\nhost: x\r\nflwr-public-key: {own}\r\n"
        f"flwr-public-key: {theirs}\r\ncontent-type: {PROTOBUF}\r\ncontent-length: 0\r\n\r\n".encode(),
    )
    assert b"header-twice" in said


@pytest.mark.parametrize(
    "call", ["pull-messages", "send-node-heartbeat", "get-run", "pull-object", "push-object"]
)
def test_another_sites_node_is_refused(place: Town, a: Caller, b: Caller, call: str) -> None:
    from fedvox.server.gate.calls import FLEET

    b.activate()
    request = FLEET[call].request(node=Node(node_id=b.activate()))
    said = a.ask(call, request)
    assert (said.status_code, code(said)) == (403, "not-own-node")
    if call.endswith("-object"):
        frames = framed([request.SerializeToString()])
        said = a.send(f"{call}s", frames, content_type="application/fedvox-frames")
        assert (said.status_code, code(said)) == (403, "not-own-node")


def test_nobody_answers_for_another_or_gives_orders(place: Town, a: Caller, b: Caller) -> None:
    mine, theirs = a.activate(), b.activate()

    def pushed(**said: Any) -> str:
        metadata = {
            "run_id": 1, "message_id": "1" * 64, "src_node_id": mine, "dst_node_id": 1,
            "reply_to_message_id": "2" * 64, "message_type": "train", "ttl": 9.0,
            "created_at": time.time(), **said,
        }  # fmt: skip
        message = message_pb2.Message(
            metadata=message_pb2.Metadata(**metadata), content=ProtoRecordDict()
        )
        return code(
            a.ask(
                "push-messages",
                fleet.PushMessagesRequest(
                    node=Node(node_id=mine),
                    messages_list=[message],
                    message_object_trees=[message_pb2.ObjectTree(object_id="1" * 64)],
                ),
            )
        )

    assert pushed(src_node_id=theirs) == "not-own-sender"
    assert pushed(src_node_id=1) == "not-own-sender", "an order in the coordinator's name"
    assert pushed(dst_node_id=theirs) == "not-own-receiver"
    assert pushed(reply_to_message_id="") == "not-own-unasked"
    assert pushed() == "run", "and otherwise it is looked at"
    done = message_pb2.ConfirmMessageReceivedRequest(
        node=Node(node_id=mine), run_id=1, message_object_id="3" * 64
    )
    assert code(a.ask("confirm-message-received", done)) == "not-own-message"
    assert {"not-own-sender", "not-own-receiver"} <= set(reasons_of(place, "a"))


def test_trees_without_end_are_refused(place: Town, a: Caller) -> None:
    mine = a.activate()

    def pushed(tree: message_pb2.ObjectTree) -> httpx.Response:
        metadata = message_pb2.Metadata(
            run_id=1, src_node_id=mine, dst_node_id=1, reply_to_message_id="2" * 64
        )
        asked = fleet.PushMessagesRequest(
            node=Node(node_id=mine),
            messages_list=[message_pb2.Message(metadata=metadata)],
            message_object_trees=[tree],
        )
        return a.ask("push-messages", asked)

    wide = message_pb2.ObjectTree(object_id="1" * 64)
    wide.children.extend(message_pb2.ObjectTree(object_id="x") for _ in range(4000))
    deep = message_pb2.ObjectTree(object_id="1" * 64)
    for _ in range(40):
        deep = message_pb2.ObjectTree(object_id="1" * 64, children=[deep])
    for tree in (wide, deep):
        said = pushed(tree)
        assert (said.status_code, code(said)) == (413, "too-many-objects")


def line_of(tmp_path: Path, place: Town, name: str, kind: str) -> Line:
    """A line with a certificate that something is wrong with."""
    key, now = new_key(), utc_now()
    authority = place.of.authority
    issuer, root = authority.issuer(), authority.credentials().root
    if kind == "foreign":
        other = parties.Authority()
        issuer = other.issuer
        certificate = issue_site(name, key.public_key(), issuer, now, timedelta(days=1))
    elif kind == "expired":
        past = now - timedelta(days=9)
        certificate = issue_site(name, key.public_key(), issuer, past, timedelta(days=1))
    elif kind == "operator":
        certificate = issue_operator(name, Rank.ADMIN, key.public_key(), issuer, now)
    else:  # of a site that nobody has admitted, by the true authority
        certificate = issue_site(name, key.public_key(), issuer, now, timedelta(days=1))
    folder = tmp_path / kind
    write_credentials(folder, key, [certificate, issuer.certificate], root)
    return Line(Credentials.load(folder), Proxy())


@pytest.mark.parametrize("kind", ["foreign", "expired"])
def test_a_certificate_that_is_not_good_ends_in_the_handshake(
    place: Town, tmp_path: Path, kind: str
) -> None:
    line = line_of(tmp_path, place, "a", kind)
    before = len([reason for reason in place.gate.reasons() if reason.startswith("certificate: ")])
    with pytest.raises(httpx.TransportError):
        Caller(place, line).activate()
    until(lambda: len([r for r in place.gate.reasons() if r.startswith("certificate: ")]) > before)


@pytest.mark.parametrize(
    ("kind", "name", "why"),
    [("operator", "boss", "not-a-site"), ("unknown", "a", "not-a-member"),
     ("unknown", "nobody", "not-a-member")],
)  # fmt: skip
def test_a_good_certificate_of_no_member_is_refused(
    place: Town, tmp_path: Path, kind: str, name: str, why: str
) -> None:
    caller = Caller(place, line_of(tmp_path, place, name, kind))
    asked = fleet.ActivateNodeRequest(public_key=caller.key, heartbeat_interval=30)
    said = caller.ask("activate-node", asked)
    assert (said.status_code, code(said)) == (403, why)
    assert why in place.gate.reasons()


def test_nothing_older_than_tls_1_3_is_spoken(place: Town) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, OSError)), connected(place, context):
        pass
    until(lambda: any(reason.startswith("tls: ") for reason in place.gate.reasons()))


# --- how much, and how long -------------------------------------------------------------------


def test_what_is_too_large_is_refused_before_it_is_read(place: Town, a: Caller) -> None:
    for call, size in (("pull-messages", 1 << 20), ("push-object", 6 << 20)):
        said = raw(
            place,
            f"POST /v1/fleet/{call} HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\n"
            f"flwr-public-key: {a.headers['flwr-public-key']}\r\n"
            f"content-length: {size}\r\n\r\n".encode(),
        )
        assert b" 413 " in said.split(b"\r\n")[0] + b" " and b"too-large" in said
    assert "too-large" in reasons_of(place, "a")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("transfer-encoding: chunked\r\n", b"411"),
        ("content-length: 3\r\ncontent-encoding: gzip\r\n", b"415"),
        ("content-length: 99999999999999\r\n", b"400"),
        ("content-length: 3\r\ncontent-type: text/plain\r\n", b"400"),
        ("", b"411"),
    ],
)
def test_bodies_of_another_kind_are_refused(
    place: Town, a: Caller, headers: str, status: bytes
) -> None:
    said = raw(
        place,
        f"POST /v1/fleet/pull-messages HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\n"
        f"flwr-public-key: {a.headers['flwr-public-key']}\r\n{headers}\r\n".encode(),
    )
    assert said.split(b" ")[1] == status, said[:200]


def test_a_body_that_does_not_come_is_not_waited_for(place: Town, a: Caller) -> None:
    begun = time.monotonic()
    said = raw(
        place,
        f"POST /v1/fleet/pull-messages HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\n"
        f"flwr-public-key: {a.headers['flwr-public-key']}\r\ncontent-length: 9\r\n\r\nab".encode(),
    )
    assert b"too-slow" in said
    assert time.monotonic() - begun < 6


@pytest.mark.parametrize("sent", [b"", b"POST /v1/fl", b"POST / HTTP/1.1\r\nx: y\r\n"])
def test_a_head_that_does_not_come_is_not_waited_for(place: Town, sent: bytes) -> None:
    begun = time.monotonic()
    assert raw(place, sent) == b""
    assert time.monotonic() - begun < 6
    until(lambda: "head-too-slow" in reasons_of(place, "a"))


def test_a_head_without_end_is_cut(place: Town) -> None:
    begun = time.monotonic()
    assert raw(place, b"POST / HTTP/1.1\r\n" + b"x: " + b"y" * 200_000) == b""
    assert time.monotonic() - begun < 6
    until(lambda: "head-too-large" in reasons_of(place, "a"))


def test_a_handshake_that_does_not_come_is_not_waited_for(place: Town) -> None:
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", place.gate.port), timeout=8) as plain:
        assert plain.recv(10) == b""
    assert 1 < time.monotonic() - begun < 6
    until(lambda: any(reason.startswith("tls: handshake") for reason in place.gate.reasons()))


def test_no_request_but_noise_does_no_harm(place: Town, a: Caller) -> None:
    with socket.create_connection(("127.0.0.1", place.gate.port), timeout=8) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(OSError):
            plain.recv(100)
    assert raw(place, b"\x00\x01\x02\xff\r\n\r\n").startswith((b"HTTP/1.1 400", b""))
    a.activate()


def test_strangers_may_not_hold_all_connections(place: Town) -> None:
    held = [socket.create_connection(("127.0.0.1", place.gate.port), timeout=8) for _ in range(12)]
    try:
        until(lambda: "too-many-connections" in place.gate.reasons())
        begun = time.monotonic()
        closed = [plain for plain in held if _ends(plain, 0.4)]
        assert len(closed) >= 4
        assert time.monotonic() - begun < 6
    finally:
        for plain in held:
            plain.close()
    until(lambda: place.gate.tell("connections")["connections"] < 8)


def _ends(plain: socket.socket, seconds: float) -> bool:
    plain.settimeout(seconds)
    try:
        return plain.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


@pytest.mark.parametrize("body", [b"\xff\xff\xff\xff", b"\x0a\xff", os.urandom(200)])
def test_what_is_no_protobuf_is_refused(place: Town, a: Caller, body: bytes) -> None:
    for call in ("pull-messages", "push-messages", "activate-node", "push-object"):
        said = a.send(call, body)
        assert said.status_code in (400, 403), f"{call}: {said.status_code}"
    said = a.send("pull-objects", body, content_type="application/fedvox-frames")
    assert (said.status_code, code(said)) == (400, "malformed")
    assert place.gate.process and place.gate.process.poll() is None


# --- inward -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ticket(place: Town) -> RunTicket:
    return place.gate.open("study")


def test_the_inner_socket_is_for_who_holds_a_token(place: Town, ticket: RunTicket) -> None:
    assert Path(ticket.runtime).stat().st_mode & 0o777 == 0o600
    transport = httpx.HTTPTransport(uds=ticket.runtime)
    with httpx.Client(transport=transport, base_url="http://gate") as http:

        def asked(path: str, token: str) -> int:
            headers = {"flwr-task-token": token, "content-type": PROTOBUF}
            return http.post(path, content=b"", headers=headers).status_code

        assert asked("/v1/runtime/get-nodes", ticket.token) == 200
        assert asked("/v1/runtime/get-nodes", "0" * 64) == 401
        assert asked("/v1/runtime/get-nodes", "") == 401
        for path in ("/v1/runtime/acquire-task", "/v1/control/start-run", "/v1/fleet/get-run", "/"):
            assert asked(path, ticket.token) == 404


def test_the_gate_listens_on_one_port(place: Town) -> None:
    assert place.gate.process
    pid = place.gate.process.pid
    own = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    listening = [
        int(words[1].rpartition(":")[2], 16)
        for table in ("tcp", "tcp6")
        for words in map(str.split, Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:])
        if words[3] == "0A" and f"socket:[{words[9]}]" in own
    ]
    assert listening == [place.gate.port]


# --- revoked ----------------------------------------------------------------------------------


def test_a_site_that_is_revoked_is_cut_off_while_it_waits(place: Town) -> None:
    place.join("c")
    caller = Caller(place, place.line("c"))
    node = caller.activate()
    ended: list[float] = []

    def wait() -> None:
        asked = fleet.PullMessagesRequest(node=Node(node_id=node))
        with contextlib.suppress(httpx.HTTPError):
            caller.ask("pull-messages", asked, fedvox_wait="60")
        ended.append(time.monotonic())

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.5)
    assert not ended
    place.revoke("c")
    begun = time.monotonic()
    waiting.join(12)
    assert ended and ended[0] - begun < 10, "its connection was left open"
    asked = fleet.ActivateNodeRequest(public_key=caller.key, heartbeat_interval=30)
    said = caller.ask("activate-node", asked)
    assert (said.status_code, code(said)) == (403, "not-a-member")
    assert "c" not in place.gate.tell("nodes")


def test_a_gate_whose_port_is_taken_says_so(place: Town, tmp_path: Path) -> None:
    home = tmp_path / "other"
    enrolment.consortium(home, place.gate.port)
    with pytest.raises(AssertionError, match="has ended"):
        GateProcess(home, place.gate.port).start()


def test_requests_that_come_whole_do_not_count_as_one_long_head(place: Town, a: Caller) -> None:
    """Head and body in one piece, larger together than a head may be, and again and again."""
    asked = fleet.PullMessagesRequest(node=Node(node_id=a.activate()))
    padding = b"\xc2\x3e" + b"\xe0\xd4\x03" + bytes(60_000)  # a field that nobody knows
    body = asked.SerializeToString() + padding
    head = (
        f"POST /v1/fleet/pull-messages HTTP/1.1\r\nHost: x\r\ncontent-type: {PROTOBUF}\r\n"
        f"flwr-public-key: {a.headers['flwr-public-key']}\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()
    context = ssl_of(Credentials.load(place.homes["a"] / "identity"))
    before = reasons_of(place, "a")
    with connected(place, context) as tls:
        tls.settimeout(8)
        for _ in range(40):
            tls.sendall(head + body)
            said = b""
            while b"\r\n\r\n" not in said:
                part = tls.recv(65536)
                assert part, "answered, and not cut off"
                said += part
            assert said.startswith(b"HTTP/1.1 200"), said
    assert reasons_of(place, "a") == before
