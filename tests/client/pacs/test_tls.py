"""TLS between a sender and the receiver, with certificates of a real authority."""

import socket
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from orthanc import require
from pacs_peers import ECHOSCU, associated, ct, receiving

from fedvox.client.pacs.tls import TlsFiles
from fedvox.common.errors import FedvoxError

NOW = datetime.now(UTC)


def issue(folder: Path, name: str, by: str = "") -> TlsFiles:
    """A certificate for 127.0.0.1, issued by an authority of that name or by itself."""
    key, who = ec.generate_private_key(ec.SECP256R1()), subject(name)
    signer = load_key(folder / f"{by}.key") if by else key
    builder = x509.CertificateBuilder(subject(by or name), who, key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(NOW - timedelta(1)).not_valid_after(NOW + timedelta(1))
    builder = builder.add_extension(x509.BasicConstraints(not by, None), critical=True)
    addresses = [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")]
    builder = builder.add_extension(x509.SubjectAlternativeName(addresses), critical=False)
    certificate = builder.sign(signer, hashes.SHA256())
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret = folder / f"{name}.key"
    secret.touch(mode=0o600)
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return TlsFiles(folder / f"{name}.pem", secret, folder / f"{by or name}.pem")


def subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    for name, by in (
        ("ca", ""),
        ("site", "ca"),
        ("pacs", "ca"),
        ("evil-ca", ""),
        ("evil", "evil-ca"),
    ):
        issue(tmp_path, name, by)
    return tmp_path


def files(papers: Path, name: str, ca: str = "ca") -> TlsFiles:
    return TlsFiles(papers / f"{name}.pem", papers / f"{name}.key", papers / f"{ca}.pem")


def test_who_shows_a_certificate_of_the_authority_may_send(papers: Path) -> None:
    own, sender = files(papers, "site"), files(papers, "pacs").client()
    with receiving(papers, tls=own) as here:
        with associated(here.port, tls_args=(sender, "127.0.0.1")) as made:
            assert made.send_c_store(ct(1, 1)[0]).Status == 0
        assert len(here.files()) == 1


def test_dcmtk_with_a_certificate(papers: Path) -> None:
    require(ECHOSCU)
    with receiving(papers, tls=files(papers, "site")) as here:
        command = [
            ECHOSCU,
            "+tls",
            papers / "pacs.key",
            papers / "pacs.pem",
            "+cf",
            papers / "ca.pem",
        ]
        command += ["-aec", "FEDVOX", "127.0.0.1", here.port]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_nobody_else_may(papers: Path) -> None:
    strangers = [files(papers, "evil"), TlsFiles(ca=papers / "ca.pem")]
    with receiving(papers, tls=files(papers, "site")) as here:
        for stranger in strangers:
            with associated(here.port, tls_args=(stranger.client(), "127.0.0.1")) as made:
                assert not made.is_established
        with associated(here.port) as plain:
            assert not plain.is_established
        assert {one.why for one in here.refused.all()} == {"tls"}
        assert here.refused.count == 3


def test_a_handshake_that_does_not_come_holds_nobody_up(papers: Path) -> None:
    sender = files(papers, "pacs").client()
    with (
        receiving(papers, tls=files(papers, "site"), idle_s=2.0) as here,
        socket.create_connection(("127.0.0.1", here.port)) as silent,
    ):
        with associated(here.port, tls_args=(sender, "127.0.0.1")) as made:
            assert made.send_c_echo().Status == 0
        silent.settimeout(15)
        assert silent.recv(10) == b""


def test_old_protocols_are_not_spoken(papers: Path) -> None:
    context = files(papers, "site").server()
    assert context is not None and context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    client = TlsFiles(ca=papers / "ca.pem").client()
    assert client is not None and client.check_hostname


def test_a_key_that_others_may_read_is_not_used(papers: Path) -> None:
    (papers / "site.key").chmod(0o640)
    with pytest.raises(FedvoxError, match="chmod 600"):
        files(papers, "site").server()


def test_files_that_cannot_be_used_are_named(papers: Path) -> None:
    with pytest.raises(FedvoxError, match="together"):
        TlsFiles(cert=papers / "site.pem")
    with pytest.raises(FedvoxError, match="--tls-cert and --tls-key"):
        TlsFiles(ca=papers / "ca.pem").server()
    with pytest.raises(FedvoxError, match="PEM"):
        files(papers, "pacs", "site.key").client()
    assert TlsFiles().server() is None and TlsFiles().client() is None
