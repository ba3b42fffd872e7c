"""A consortium's parties with certificates of a real authority, for tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from cryptography import x509

from fedvox.common.audit.log import AuditLog
from fedvox.common.identity.certificates import pem_of, utc_now
from fedvox.common.identity.credentials import Credentials
from fedvox.common.identity.issuing import (
    Issuer,
    issue_coordinator,
    issue_operator,
    issue_site,
    new_issuing,
    new_root,
)
from fedvox.common.identity.keys import PrivateKey, new_key, private_pem
from fedvox.common.identity.names import Rank
from fedvox.common.identity.secret_files import write_secret


@dataclass
class Authority:
    """A root, an issuing authority, and what they issue."""

    root_key: PrivateKey = field(default_factory=new_key)
    issuing_key: PrivateKey = field(default_factory=new_key)

    def __post_init__(self) -> None:
        now = utc_now()
        self.root: x509.Certificate = new_root("test", self.root_key, now)
        root = Issuer(self.root, self.root_key)
        issuing = new_issuing("test", self.issuing_key.public_key(), root, now)
        self.issuer = Issuer(issuing, self.issuing_key)

    def log(self, name: str, path: Path) -> tuple[AuditLog, PrivateKey]:
        """The log of a new party: the coordinator, or a site."""
        key, now = new_key(), utc_now()
        if name == "coordinator":
            own = issue_coordinator(name, key.public_key(), ["127.0.0.1"], self.issuer, now)
        else:
            own = issue_site(name, key.public_key(), self.issuer, now, timedelta(days=1))
        chain = pem_of([own, self.issuer.certificate, self.root])
        return AuditLog(path, name, chain, key), key

    def operator(self, name: str, rank: Rank, path: Path) -> Credentials:
        """The credentials of a new operator, in one file."""
        key = new_key()
        own = issue_operator(name, rank, key.public_key(), self.issuer, utc_now())
        return self._bundle(key, own, path)

    def site(self, name: str, path: Path) -> Credentials:
        """The credentials of a new site, in one file as operators have them."""
        key = new_key()
        own = issue_site(name, key.public_key(), self.issuer, utc_now(), timedelta(days=1))
        return self._bundle(key, own, path)

    def _bundle(self, key: PrivateKey, own: x509.Certificate, path: Path) -> Credentials:
        chain = pem_of([own, self.issuer.certificate, self.root])
        write_secret(path, private_pem(key) + chain)
        return Credentials.load_bundle(path)
