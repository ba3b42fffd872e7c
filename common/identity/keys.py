"""Keys: one of P-384 for each party. It serves TLS, Flower's node identity and signed records."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedvox.common.errors import IdentityError
from fedvox.common.identity.secret_files import read_secret, write_secret

PrivateKey = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey

_SIGNING = ec.ECDSA(hashes.SHA384())


def new_key() -> PrivateKey:
    """A fresh key."""
    return ec.generate_private_key(ec.SECP384R1())


def save_key(key: PrivateKey, path: Path) -> None:
    """Writes the key, without a password, readable by its owner only."""
    write_secret(path, private_pem(key))


def load_key(path: Path) -> PrivateKey:
    """The key in a file that only its owner may read."""
    return private_key_of(read_secret(path), str(path))


def private_pem(key: PrivateKey) -> bytes:
    """The key as PEM, for a file of mode 0600 and for nothing else."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def private_key_of(pem: bytes, where: str) -> PrivateKey:
    """The private key in `pem`; IdentityError where there is none, or one of another kind."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise IdentityError(
            f"{where}: holds no private key that can be read; restore it from a backup"
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not _is_p384(key.curve):
        raise IdentityError(f"{where}: holds a key of another kind; fedvox uses P-384")
    return key


def public_pem(key: PublicKey) -> bytes:
    """The public key as PEM: the form in which Flower's nodes name theirs."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def public_key_of(pem: bytes, where: str = "public key") -> PublicKey:
    """The public key in `pem`; IdentityError where there is none, or one of another kind."""
    try:
        return checked_public_key(serialization.load_pem_public_key(pem))
    except (ValueError, UnsupportedAlgorithm):
        raise IdentityError(f"{where}: cannot be read as a public key") from None


def checked_public_key(key: object) -> PublicKey:
    """The same key; IdentityError unless it is one of P-384."""
    if not isinstance(key, ec.EllipticCurvePublicKey) or not _is_p384(key.curve):
        raise IdentityError("the public key is of another kind; fedvox uses P-384")
    return key


def _is_p384(curve: ec.EllipticCurve) -> bool:
    return isinstance(curve, ec.SECP384R1)


def sign(key: PrivateKey, message: bytes) -> bytes:
    """A signature (ECDSA with SHA-384, DER) over the message."""
    return key.sign(message, _SIGNING)


def verify(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """Whether the signature over the message was made with the private half of `key`."""
    try:
        key.verify(signature, message, _SIGNING)
    except InvalidSignature:
        return False
    return True


def fingerprint(of: PublicKey | x509.Certificate) -> str:
    """SHA-256 over the public key (SubjectPublicKeyInfo, DER) in hexadecimal.

    It names the key, so a renewed certificate keeps its fingerprint.
    """
    key = of.public_key() if isinstance(of, x509.Certificate) else of
    encoded = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(encoded).hexdigest()


def grouped(digest: str) -> str:
    """A fingerprint as people read it to each other: in groups of four."""
    return " ".join(digest[start : start + 4] for start in range(0, len(digest), 4))
