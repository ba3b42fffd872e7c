import hashlib
import os
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from fedvox.common.errors import IdentityError
from fedvox.common.identity.keys import (
    fingerprint,
    grouped,
    load_key,
    new_key,
    private_key_of,
    public_key_of,
    public_pem,
    save_key,
    sign,
    verify,
)
from fedvox.common.identity.secret_files import make_private_folder, read_secret, write_secret


def test_a_saved_key_is_its_owners_only(tmp_path: Path) -> None:
    path, key = tmp_path / "key.pem", new_key()
    before = os.umask(0)
    try:
        save_key(key, path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert public_pem(load_key(path).public_key()) == public_pem(key.public_key())
    assert sorted(tmp_path.iterdir()) == [path]


def test_it_replaces_a_file_that_others_could_read(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_secret(path, b"new")
    assert (read_secret(path), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o600)


def test_it_does_not_write_through_a_link(tmp_path: Path) -> None:
    other, path = tmp_path / "other", tmp_path / "secret"
    other.write_text("of somebody else")
    path.symlink_to(other)
    write_secret(path, b"new")
    assert other.read_text() == "of somebody else" and not path.is_symlink()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_can_read_is_not_used(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key.pem"
    save_key(new_key(), path)
    path.chmod(mode)
    with pytest.raises(IdentityError, match="chmod 600"):
        load_key(path)


def test_folders_are_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    make_private_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o755)
    make_private_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_signatures_hold_for_this_message_and_this_key() -> None:
    key = new_key()
    signature = sign(key, b"message")
    assert verify(key.public_key(), b"message", signature)
    assert not verify(key.public_key(), b"massage", signature)
    assert not verify(new_key().public_key(), b"message", signature)
    for at in range(len(signature)):
        changed = bytearray(signature)
        changed[at] ^= 1
        assert not verify(key.public_key(), b"message", bytes(changed)), at
    assert not verify(key.public_key(), b"message", b"")


def test_signatures_and_fingerprints_are_those_of_openssl(tmp_path: Path) -> None:
    key, message, signed = new_key(), tmp_path / "message", tmp_path / "signature"
    public = tmp_path / "public.pem"
    message.write_bytes(b"who sent this")
    public.write_bytes(public_pem(key.public_key()))
    signed.write_bytes(sign(key, b"who sent this"))
    command = ["openssl", "dgst", "-sha384", "-verify", public, "-signature", signed, message]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"Verified OK\n"
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", public, "-outform", "DER"],
        capture_output=True,
        check=True,
    ).stdout
    assert fingerprint(key.public_key()) == hashlib.sha256(der).hexdigest()


def test_fingerprints_are_read_in_groups() -> None:
    assert grouped("0123456789ab") == "0123 4567 89ab"
    assert len(grouped("a" * 64).split()) == 16


def test_public_keys_are_written_as_flower_writes_its_nodes() -> None:
    key = new_key().public_key()
    assert public_pem(key) == public_key_to_bytes(key)
    assert fingerprint(public_key_of(public_pem(key))) == fingerprint(key)


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@pytest.mark.parametrize(
    "key",
    [ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()],
    ids=["P-256", "Ed25519"],
)
def test_keys_of_another_kind_are_refused(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
) -> None:
    with pytest.raises(IdentityError, match="P-384"):
        private_key_of(_pem(key), "here")
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with pytest.raises(IdentityError, match="P-384"):
        public_key_of(public)


@pytest.mark.parametrize("pem", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_what_is_no_key(pem: bytes) -> None:
    with pytest.raises(IdentityError, match="here: holds no private key"):
        private_key_of(pem, "here")
    with pytest.raises(IdentityError, match="cannot be read as a public key"):
        public_key_of(pem)
