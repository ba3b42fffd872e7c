"""Real connections: who may talk to whom."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from papers import Papers, new_papers

from fedvox.common.errors import IdentityError
from fedvox.common.identity.certificates import identity_of, utc_now
from fedvox.common.identity.credentials import Credentials
from fedvox.common.identity.tls import (
    enrolling_context,
    joining_context,
    present,
    server_context,
    site_context,
)


@pytest.fixture(scope="module")
def papers() -> Papers:
    return new_papers()


@contextmanager
def listening(context: ssl.SSLContext) -> Iterator[int]:
    """Tells whoever connects the certificate it has shown, and ends."""

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                taken, _ = listener.accept()
            except OSError:
                return
            with taken:
                try:
                    with context.wrap_socket(taken, server_side=True) as talk:
                        talk.sendall((talk.getpeercert(True) or b"nobody") + b"END")
                except (OSError, ssl.SSLError):
                    continue

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def seen_as(port: int, context: ssl.SSLContext, host: str = "127.0.0.1") -> bytes:
    """Which certificate the server has seen."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as talk,
    ):
        assert talk.version() == "TLSv1.3"
        heard = b""
        while not heard.endswith(b"END"):
            chunk = talk.recv(65536)
            if not chunk:
                raise ssl.SSLError("the server has ended the connection")
            heard += chunk
        return heard[:-3]


REFUSED = (ssl.SSLError, ConnectionError)


@pytest.fixture(scope="module")
def port(papers: Papers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with listening(server_context(papers.coordinator(tmp_path_factory.mktemp("hub")))) as port:
        yield port


def test_a_site_and_an_operator_are_who_they_are(tmp_path: Path, papers: Papers, port: int) -> None:
    for own in (papers.site(tmp_path / "s"), papers.operator(tmp_path / "o")):
        assert identity_of(seen_as(port, site_context(own))) == own.identity


def test_who_joins_shows_nothing_and_knows_whom_it_talks_to(papers: Papers, port: int) -> None:
    assert seen_as(port, joining_context(papers.root.certificate)) == b"nobody"
    assert seen_as(port, enrolling_context()) == b"nobody"
    with pytest.raises(ssl.SSLCertVerificationError):
        seen_as(port, joining_context(new_papers().root.certificate))


def test_a_coordinator_elsewhere_is_not_believed(papers: Papers, port: int, tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        seen_as(port, site_context(papers.site(tmp_path)), "fl.example.org")
    assert seen_as(port, site_context(papers.site(tmp_path)), "localhost")


def mixed(own: Credentials, other: Credentials, folder: Path) -> Credentials:
    """The certificate of one with the key of the other."""
    folder.mkdir()
    shutil.copy(own.chain_file, folder / "chain.pem")
    shutil.copy(other.key_file, folder / "key.pem")
    return Credentials(
        own.identity, other.key, own.chain, own.root,
        folder / "key.pem", folder / "chain.pem",
    )  # fmt: skip


def test_foreign_expired_early_and_servers_certificates_are_refused(
    tmp_path: Path, papers: Papers, port: int
) -> None:
    now, other = utc_now(), new_papers("trial")  # of the same name, which proves nothing
    foreign = other.site(tmp_path / "f")
    expired = papers.site(tmp_path / "e", now=now - timedelta(days=15))
    early = papers.site(tmp_path / "n", now=now + timedelta(days=2))
    server = papers.coordinator(tmp_path / "c")
    for own in (foreign, expired, early, server):
        context = site_context(own)
        if own is foreign:  # it would not talk to this coordinator either
            context.load_verify_locations(cadata=papers.root_pem)
        with pytest.raises(REFUSED):
            seen_as(port, context)


def test_one_sites_certificate_with_anothers_key_cannot_even_be_loaded(
    tmp_path: Path, papers: Papers
) -> None:
    a, b = papers.site(tmp_path / "a", "site-a"), papers.site(tmp_path / "b", "site-b")
    with pytest.raises(IdentityError, match="do not go together"):
        site_context(mixed(a, b, tmp_path / "mixed"))


def test_a_site_is_no_coordinator(tmp_path: Path, papers: Papers) -> None:
    context = server_context(papers.site(tmp_path / "evil"))
    with listening(context) as port, pytest.raises(REFUSED):
        seen_as(port, site_context(papers.site(tmp_path / "s")), "127.0.0.1")


def test_older_tls_is_refused_and_sessions_are_not_resumed(
    papers: Papers, port: int, tmp_path: Path
) -> None:
    own = papers.site(tmp_path)
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile",
               tmp_path / "ca.pem", "-cert", own.chain_file, "-key", own.key_file]  # fmt: skip
    for version, spoken in (("-tls1_2", False), ("-tls1_3", True)):
        done = subprocess.run([*command, version], input=b"", capture_output=True, timeout=20)
        assert (
            b"Verify return code: 0 (ok)" in done.stdout and b"TLSv1.3" in done.stdout
        ) == spoken
        assert b"Post-Handshake New Session Ticket" not in done.stdout


def test_a_renewed_certificate_is_shown_by_a_server_that_runs(
    tmp_path: Path, papers: Papers
) -> None:
    first = papers.coordinator(tmp_path / "one", ["localhost"])
    second = papers.coordinator(tmp_path / "two", ["fl.example.org"])
    context = server_context(first)
    knows = joining_context(papers.root.certificate)
    with listening(context) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            seen_as(port, knows, "fl.example.org")
        present(context, second)
        assert seen_as(port, knows, "fl.example.org") == b"nobody"
