"""Who a certificate says that somebody is.

A certificate of fedvox has the subject O=fedvox, OU=role, CN=name, and for an operator T=rank;
a key of P-384, and the one extended use that its role needs. Anything else is nobody's. Whether a
certificate is genuine is for TLS to say, and whether it was revoked for the registry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from fedvox.common.errors import IdentityError
from fedvox.common.identity.keys import checked_public_key, public_pem
from fedvox.common.identity.names import Rank, Role, is_name

ORGANISATION = "fedvox"
ROOT, ISSUING = "root", "issuing"
"""Units (OU) of the certificates that sign others."""

USE = {
    Role.COORDINATOR: ExtendedKeyUsageOID.SERVER_AUTH,
    Role.SITE: ExtendedKeyUsageOID.CLIENT_AUTH,
    Role.OPERATOR: ExtendedKeyUsageOID.CLIENT_AUTH,
}
"""What the certificate of each role may be used for in TLS."""


@dataclass(frozen=True)
class Identity:
    """Who a certificate was issued to."""

    role: Role
    name: str
    rank: Rank | None
    """Of an operator; None for others."""
    serial: str
    """Of the certificate, in hexadecimal."""
    public_key: bytes
    """PEM, exactly as Flower's nodes name theirs."""
    not_before: datetime
    not_after: datetime


def identity_of(certificate: x509.Certificate | bytes) -> Identity:
    """Who a certificate (or its DER) names; IdentityError for any that fedvox did not make."""
    read = _read(certificate) if isinstance(certificate, bytes) else certificate
    try:
        return _identity(read)
    except (ValueError, TypeError, x509.ExtensionNotFound, x509.DuplicateExtension):
        raise IdentityError("the certificate is none that a consortium of fedvox issues") from None


def _read(der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, TypeError):
        raise IdentityError("what was shown is no certificate") from None


def _identity(certificate: x509.Certificate) -> Identity:
    subject = _subject(certificate.subject)
    role = Role(subject.pop(NameOID.ORGANIZATIONAL_UNIT_NAME))
    name = subject.pop(NameOID.COMMON_NAME)
    rank = Rank(subject.pop(NameOID.TITLE)) if role is Role.OPERATOR else None
    if subject.pop(NameOID.ORGANIZATION_NAME) != ORGANISATION or subject or not is_name(name):
        raise ValueError
    extensions = certificate.extensions
    if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
        raise ValueError
    if list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) != [USE[role]]:
        raise ValueError
    return Identity(
        role=role,
        name=name,
        rank=rank,
        serial=serial_of(certificate),
        public_key=public_pem(checked_public_key(certificate.public_key())),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def _subject(subject: x509.Name) -> dict[ObjectIdentifier, str]:
    """The parts of a subject; ValueError where one is there twice or missing."""
    parts = {part.oid: part.value for part in subject}
    needed = {NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.COMMON_NAME}
    if len(parts) != len(list(subject)) or not needed <= parts.keys():
        raise ValueError
    if parts[NameOID.ORGANIZATIONAL_UNIT_NAME] == Role.OPERATOR and NameOID.TITLE not in parts:
        raise ValueError
    return {oid: str(value) for oid, value in parts.items()}


def serial_of(certificate: x509.Certificate) -> str:
    """The serial number in hexadecimal."""
    return f"{certificate.serial_number:x}"


def certificates_of(pem: bytes, where: str) -> list[x509.Certificate]:
    """The certificates in a PEM text, in its order; IdentityError where there are none."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except (ValueError, TypeError):
        raise IdentityError(f"{where}: holds no certificate that can be read") from None


def pem_of(certificates: Sequence[x509.Certificate]) -> bytes:
    """Certificates as one PEM text."""
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def verify_chain(chain: Sequence[x509.Certificate], root: x509.Certificate, now: datetime) -> None:
    """Raises IdentityError unless each certificate was issued by the next, and the last by root.

    TLS checks this of whom it connects to; here it is checked of what a file or an answer brought.
    """
    try:
        for certificate, issuer in zip(chain, [*chain[1:], root], strict=True):
            certificate.verify_directly_issued_by(issuer)
            if not issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
                raise ValueError
    except Exception:  # the library has several for a signature that is wrong
        raise IdentityError("the certificate does not come from the consortium's root") from None
    for certificate in [*chain, root]:
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise IdentityError(
                "a certificate is not valid at this time: look at this machine's clock; if it is "
                "right, the certificate has expired and needs a new kit"
            )


def utc_now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)
