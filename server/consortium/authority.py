"""The consortium's authority at work: what it signs with, and where it notes whom it knows."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509

from fedvox.common.chain import Scalar
from fedvox.common.errors import IdentityError
from fedvox.common.identity.certificates import (
    certificates_of,
    identity_of,
    serial_of,
    utc_now,
)
from fedvox.common.identity.credentials import Credentials, replace_chain
from fedvox.common.identity.issuing import Issuer, issue_coordinator
from fedvox.common.identity.keys import fingerprint, load_key
from fedvox.server.consortium.registry import Registry
from fedvox.server.consortium.settings import CoordinatorSettings

Recorder = Callable[[str, Mapping[str, Scalar]], None]
"""Writes down what was done, durably: a kind, and fields. Where it fails, nothing is done."""

AUTHORITY, IDENTITY, OPERATOR_FILE = "authority", "identity", "operator.pem"

_KEPT_AFTER_END = timedelta(days=30)
_SHORTEST_LIFE = timedelta(days=1)
_TOLD_BEFORE = timedelta(days=60)


@dataclass(frozen=True)
class Authority:
    """All that is needed to admit, renew and revoke."""

    home: Path
    settings: CoordinatorSettings
    registry: Registry
    record: Recorder
    by: str
    """On whose behalf it acts, for the record."""

    @classmethod
    def open(cls, home: Path, record: Recorder, by: str) -> Self:
        """The authority of the consortium in a folder."""
        return cls(home, CoordinatorSettings.load(home), Registry(home), record, by)

    def troubles(self) -> list[str]:
        """What an operator must do before long, in words."""
        issuing = certificates_of(_read(self.home / AUTHORITY / "issuing.pem"), "issuing.pem")[0]
        end = issuing.not_valid_after_utc
        if end > utc_now() + _TOLD_BEFORE:
            return []
        return [f"the issuing certificate ends on {end:%Y-%m-%d}; run `fedvox consortium rotate`"]

    def issuer(self) -> Issuer:
        """The certificate and key that sign those of the parties."""
        folder = self.home / AUTHORITY
        certificate = certificates_of(_read(folder / "issuing.pem"), "issuing.pem")[0]
        if certificate.not_valid_after_utc < utc_now() + _SHORTEST_LIFE:
            raise IdentityError(
                f"{folder / 'issuing.pem'}: the issuing certificate ends on "
                f"{certificate.not_valid_after_utc:%Y-%m-%d}; run `fedvox consortium rotate`"
            )
        key = load_key(folder / "issuing.key")
        if fingerprint(certificate) != fingerprint(key.public_key()):
            raise IdentityError(
                f"{folder}: issuing.pem and issuing.key do not go together: a `fedvox consortium "
                "rotate` was interrupted; run it again"
            )
        return Issuer(certificate, key)

    def credentials(self) -> Credentials:
        """The coordinator's own."""
        return Credentials.load(self.home / IDENTITY)

    def papers(self) -> dict[str, str]:
        """What anybody may have: root and issuing certificate as PEM."""
        issuing = _read(self.home / AUTHORITY / "issuing.pem").decode()
        return {"root": self.credentials().root_pem, "issuing": issuing}

    def note(self, kind: str, **fields: Scalar) -> None:
        """Records an act."""
        self.record(kind, {"by": self.by, **fields})


def note_certificate(database: sqlite3.Connection, certificate: x509.Certificate) -> None:
    """Enters a certificate that was issued, and drops those that ended long ago.

    A serial that is not in the registry counts as revoked, so dropping one forgets no revocation.
    """
    identity, now = identity_of(certificate), utc_now()
    database.execute(
        "INSERT INTO certificates VALUES (?, ?, ?, ?, ?, NULL)",
        (
            serial_of(certificate),
            identity.name,
            str(identity.role),
            moment(now),
            moment(identity.not_after),
        ),
    )
    database.execute(
        "DELETE FROM certificates WHERE not_after < ?", (moment(now - _KEPT_AFTER_END),)
    )


def moment(time: datetime) -> str:
    """A time as the registry holds it: UTC, to the second, of one length."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def renew_coordinator_if_due(authority: Authority) -> bool:
    """Renews the coordinator's certificate at half its life, or where its addresses changed."""
    own = authority.credentials()
    hosts = set(authority.settings.certificate_hosts)
    if not own.renewal_due(utc_now()) and _hosts(own.certificate) == hosts:
        return False
    renew_coordinator(authority)
    return True


def renew_coordinator(authority: Authority) -> None:
    """Gives the coordinator a new certificate; its key stays, so sites notice nothing."""
    own, issuer = authority.credentials(), authority.issuer()
    hosts = authority.settings.certificate_hosts
    certificate = issue_coordinator(
        own.identity.name, own.key.public_key(), hosts, issuer, utc_now()
    )
    with authority.registry.changing() as database:
        note_certificate(database, certificate)
        authority.note("coordinator-renewed", not_after=moment(certificate.not_valid_after_utc))
    replace_chain(authority.home / IDENTITY, [certificate, issuer.certificate])


def _hosts(certificate: x509.Certificate) -> set[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    found: set[str] = set(names.get_values_for_type(x509.DNSName))
    return found | {str(ip) for ip in names.get_values_for_type(x509.IPAddress)}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise IdentityError(
            f"{path}: cannot be read: {error.strerror}; restore it from the backup"
        ) from None
