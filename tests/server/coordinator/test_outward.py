"""The coordinator's own look at its outward port: a real gate, and ports that are not well."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from gates import town
from parties import Authority

from fedvox.common.identity.certificates import utc_now
from fedvox.common.identity.credentials import Credentials, write_credentials
from fedvox.common.identity.issuing import issue_coordinator
from fedvox.common.identity.keys import new_key
from fedvox.common.identity.tls import server_context
from fedvox.server.coordinator import outward
from fedvox.server.coordinator.outward import outward_troubles


def test_a_gate_that_answers_that_hangs_and_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outward, "_PATIENCE_S", 0.5)
    with town(tmp_path) as place:
        root = Credentials.load(place.gate.home / "identity").root
        port = place.gate.port
        assert outward_troubles("127.0.0.1", port, root) == []
        began = time.perf_counter()
        assert outward_troubles("0.0.0.0", port, root) == []
        assert time.perf_counter() - began < 0.3, "it is asked every few seconds"
        assert place.gate.reasons() == [], "and nobody is suspected for it"
        (other,) = outward_troubles("127.0.0.1", port, Authority().root)
        assert "shows a certificate that sites turn away" in other
        assert place.gate.process is not None
        os.kill(place.gate.process.pid, signal.SIGSTOP)
        (told,) = outward_troubles("127.0.0.1", port, root)
        assert "does not answer within 0.5 s; restart the coordinator" in told
        os.kill(place.gate.process.pid, signal.SIGCONT)
        place.gate.kill()
        (told,) = outward_troubles("127.0.0.1", port, root)
        assert told.endswith(f"127.0.0.1:{port} does not answer: Connection refused; restart the "
                             "coordinator")  # fmt: skip


@contextlib.contextmanager
def answering(context: ssl.SSLContext, answer: bytes) -> Iterator[int]:
    """A port that says this to the first who comes."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            plain, _ = opened.accept()
            with context.wrap_socket(plain, server_side=True) as secure:
                secure.recv(4096)
                secure.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as opened:
        thread = threading.Thread(target=serve)
        thread.start()
        yield int(opened.getsockname()[1])
        thread.join(10)


def context_of(authority: Authority, folder: Path, age: timedelta) -> ssl.SSLContext:
    """That of a coordinator whose certificate was issued some time ago."""
    key = new_key()
    hosts = ["localhost", "127.0.0.1"]
    own = issue_coordinator("c", key.public_key(), hosts, authority.issuer, utc_now() - age)
    write_credentials(folder, key, [own, authority.issuer.certificate], authority.root)
    return server_context(Credentials.load(folder))


@pytest.mark.parametrize(
    ("days", "answer", "told"),
    [
        (0, b"HTTP/1.1 200 OK\r\n\r\n", ""),
        (0, b"HTTP/1.1 500 Oh\r\n\r\n", "answers 'HTTP/1.1 500' to who wants to enrol"),
        (0, b"", "answers 'nothing'"),
        (3650, b"HTTP/1.1 200 OK\r\n\r\n", "that sites turn away: certificate has expired"),
    ],
)
def test_what_answers_must_be_a_coordinator_that_enrols(
    tmp_path: Path, days: int, answer: bytes, told: str
) -> None:
    authority = Authority()
    context = context_of(authority, tmp_path / "identity", timedelta(days=days))
    with answering(context, answer) as port:
        found = outward_troubles("127.0.0.1", port, authority.root)
    assert (told in found[0] and len(found) == 1) if told else found == []
