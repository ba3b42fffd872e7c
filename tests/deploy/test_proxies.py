"""nginx and HAProxy as shown, in front of a TLS server that wants the site's certificate."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundles import DEPLOY
from parties import Authority

from fedvox.common.identity.certificates import identity_of, utc_now
from fedvox.common.identity.credentials import Credentials, write_bundle
from fedvox.common.identity.issuing import issue_coordinator
from fedvox.common.identity.keys import new_key
from fedvox.common.identity.tls import server_context, site_context

PROXY = DEPLOY / "proxy"
MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
PAYLOAD = os.urandom(1 << 20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def behind(authority: Authority, tmp_path: Path) -> Iterator[int]:
    """The port of a server that says whose certificate it was shown, and what came, by its hash."""
    key = new_key()
    own = issue_coordinator("test", key.public_key(), ["localhost"], authority.issuer, utc_now())
    write_bundle(tmp_path / "server.pem", key, [own, authority.issuer.certificate], authority.root)
    context = server_context(Credentials.load_bundle(tmp_path / "server.pem"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_serve, args=(listening, context), daemon=True).start()
        yield listening.getsockname()[1]


def _serve(listening: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
            shown = tls.getpeercert(True)
            name = identity_of(shown).name if shown else "nobody"
            tls.sendall(name.encode().ljust(32))
            digest, left = hashlib.sha256(), len(PAYLOAD)
            while left and (part := tls.recv(65536)):
                digest.update(part)
                left -= len(part)
            tls.sendall(digest.digest())


@contextlib.contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        _wait(process, port)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _wait(process: subprocess.Popen[str], port: int) -> None:
    for _ in range(200):
        if process.poll() is not None:
            pytest.fail(process.communicate()[0])
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    pytest.fail("does not listen")


def nginx(tmp_path: Path, listen: int, server: int) -> list[str]:
    if shutil.which("nginx") is None or not MODULE.exists():
        pytest.skip("NOT TESTED: install the Debian packages nginx-light and libnginx-mod-stream")
    text = (PROXY / "nginx.conf").read_text()
    text = text.replace("modules/ngx_stream_module.so", str(MODULE))
    text = re.sub(r"(?<=listen )443", f"127.0.0.1:{listen}", text)
    text = text.replace("127.0.0.1:8443", f"127.0.0.1:{server}")
    text = text.replace("/var/log/nginx", str(tmp_path)).replace("/run/", f"{tmp_path}/")
    (tmp_path / "nginx.conf").write_text(text)
    return [
        "nginx",
        "-e",
        str(tmp_path / "e.log"),
        "-c",
        str(tmp_path / "nginx.conf"),
        "-g",
        "daemon off;",
    ]


def haproxy(tmp_path: Path, listen: int, server: int) -> list[str]:
    if shutil.which("haproxy") is None:
        pytest.skip("NOT TESTED: install the Debian package haproxy")
    text = (PROXY / "haproxy.cfg").read_text().replace("bind :443", f"bind 127.0.0.1:{listen}")
    text = text.replace("127.0.0.1:8443", f"127.0.0.1:{server}")
    (tmp_path / "haproxy.cfg").write_text(text)
    return ["haproxy", "-db", "-f", str(tmp_path / "haproxy.cfg")]


@pytest.mark.parametrize("front", [nginx, haproxy])
def test_the_sites_certificate_reaches_who_is_behind(
    front: object, authority: Authority, behind: int, tmp_path: Path
) -> None:
    port = free_port()
    command = nginx(tmp_path, port, behind) if front is nginx else haproxy(tmp_path, port, behind)
    with running(command, port):
        context = site_context(authority.site("site-a", tmp_path / "site.pem"))
        with (
            socket.create_connection(("127.0.0.1", port), 10) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as tls,
        ):
            assert tls.version() == "TLSv1.3"
            assert tls.recv(32).decode().strip() == "site-a"
            tls.sendall(PAYLOAD)
            assert tls.recv(32) == hashlib.sha256(PAYLOAD).digest()


def test_a_site_of_another_authority_is_refused_through_nginx(behind: int, tmp_path: Path) -> None:
    port = free_port()
    with running(nginx(tmp_path, port, behind), port):
        context = site_context(Authority().site("site-a", tmp_path / "foreign.pem"))
        with (
            socket.create_connection(("127.0.0.1", port), 10) as raw,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            context.wrap_socket(raw, server_hostname="localhost")


def test_no_front_ends_tls() -> None:
    for name in ("nginx.conf", "haproxy.cfg"):
        lines = (PROXY / name).read_text().splitlines()
        said = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
        assert not re.search(r"ssl|http\s*\{|mode http", said), name
