"""Making certificates: the root, the issuing authority below it, and those of the parties."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from fedvox.common.identity.certificates import ISSUING, ORGANISATION, ROOT, USE
from fedvox.common.identity.keys import PrivateKey, PublicKey
from fedvox.common.identity.names import Rank, Role

ROOT_LIFE = timedelta(days=365 * 20)
ISSUING_LIFE = timedelta(days=365 * 5)
COORDINATOR_LIFE = timedelta(days=365)
OPERATOR_LIFE = timedelta(days=365)

CLOCK_SLACK = timedelta(hours=1)
"""A certificate is valid from that long ago, so that a clock that is behind accepts it."""


@dataclass(frozen=True)
class Issuer:
    """A certificate that may sign others, and its key."""

    certificate: x509.Certificate
    key: PrivateKey


def new_root(consortium: str, key: PrivateKey, now: datetime) -> x509.Certificate:
    """The certificate that all trust in a consortium begins with."""
    name = _name(ROOT, consortium)
    builder = _builder(name, name, key.public_key(), key.public_key(), now, now + ROOT_LIFE)
    return _as_authority(builder, 1).sign(key, hashes.SHA384())


def new_issuing(consortium: str, key: PublicKey, root: Issuer, now: datetime) -> x509.Certificate:
    """The certificate that signs those of the parties, and no further authorities."""
    end = min(now + ISSUING_LIFE, root.certificate.not_valid_after_utc)
    name = _name(ISSUING, consortium)
    builder = _builder(name, root.certificate.subject, key, root.certificate.public_key(), now, end)
    return _as_authority(builder, 0).sign(root.key, hashes.SHA384())


def issue_coordinator(
    name: str, key: PublicKey, hosts: Iterable[str], issuer: Issuer, now: datetime
) -> x509.Certificate:
    """The coordinator's certificate, for TLS servers at these host names and IP addresses."""
    builder = _party(Role.COORDINATOR, name, None, key, issuer, now, COORDINATOR_LIFE)
    names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
    return builder.add_extension(names, critical=False).sign(issuer.key, hashes.SHA384())


def issue_site(
    name: str, key: PublicKey, issuer: Issuer, now: datetime, life: timedelta
) -> x509.Certificate:
    """A site's certificate."""
    return _party(Role.SITE, name, None, key, issuer, now, life).sign(issuer.key, hashes.SHA384())


def issue_operator(
    name: str,
    rank: Rank,
    key: PublicKey,
    issuer: Issuer,
    now: datetime,
    life: timedelta = OPERATOR_LIFE,
) -> x509.Certificate:
    """An operator's certificate."""
    builder = _party(Role.OPERATOR, name, rank, key, issuer, now, life)
    return builder.sign(issuer.key, hashes.SHA384())


def _party(
    role: Role,
    name: str,
    rank: Rank | None,
    key: PublicKey,
    issuer: Issuer,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    authority = issuer.certificate
    end = min(now + life, authority.not_valid_after_utc)
    subject = _name(role, name, rank)
    return (
        _builder(subject, authority.subject, key, authority.public_key(), now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([USE[role]]), critical=True)
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: PublicKey,
    issuer_key: object,
    now: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key)  # type: ignore[arg-type]  # P-384
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(authority, critical=False)
    )


def _as_authority(builder: x509.CertificateBuilder, below: int) -> x509.CertificateBuilder:
    constraints = x509.BasicConstraints(ca=True, path_length=below)
    return builder.add_extension(constraints, critical=True).add_extension(
        _key_usage(signs_certificates=True), critical=True
    )


def _key_usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(unit: str, name: str, rank: Rank | None = None) -> x509.Name:
    parts = [
        (NameOID.ORGANIZATION_NAME, ORGANISATION),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, str(unit)),
        (NameOID.COMMON_NAME, name),
    ]
    if rank is not None:
        parts.append((NameOID.TITLE, str(rank)))
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
