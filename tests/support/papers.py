"""Certificates for tests: an authority, and parties with credentials in folders."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from fedvox.common.identity.certificates import pem_of, utc_now
from fedvox.common.identity.credentials import Credentials, write_credentials
from fedvox.common.identity.issuing import (
    Issuer,
    issue_coordinator,
    issue_operator,
    issue_site,
    new_issuing,
    new_root,
)
from fedvox.common.identity.keys import PrivateKey, new_key
from fedvox.common.identity.names import Rank

LIFE = timedelta(days=14)


@dataclass(frozen=True)
class Papers:
    """An authority of a consortium."""

    root: Issuer
    issuing: Issuer

    @property
    def root_pem(self) -> str:
        return pem_of([self.root.certificate]).decode()

    def site(
        self, folder: Path, name: str = "st-anna", now: datetime | None = None,
        key: PrivateKey | None = None,
    ) -> Credentials:  # fmt: skip
        key = key or new_key()
        made = issue_site(name, key.public_key(), self.issuing, now or utc_now(), LIFE)
        return self._written(folder, key, made)

    def coordinator(
        self, folder: Path, hosts: Iterable[str] = ("127.0.0.1", "localhost"),
        now: datetime | None = None,
    ) -> Credentials:  # fmt: skip
        key = new_key()
        made = issue_coordinator("trial", key.public_key(), hosts, self.issuing, now or utc_now())
        return self._written(folder, key, made)

    def operator(self, folder: Path, rank: Rank = Rank.VIEWER) -> Credentials:
        key = new_key()
        made = issue_operator("otto", rank, key.public_key(), self.issuing, utc_now())
        return self._written(folder, key, made)

    def _written(self, folder: Path, key: PrivateKey, made: x509.Certificate) -> Credentials:
        write_credentials(folder, key, [made, self.issuing.certificate], self.root.certificate)
        return Credentials.load(folder)


def new_papers(name: str = "trial", now: datetime | None = None) -> Papers:
    """A new authority; another one each time, whatever it is called."""
    now = now or utc_now()
    root_key, issuing_key = new_key(), new_key()
    root = Issuer(new_root(name, root_key, now), root_key)
    return Papers(root, Issuer(new_issuing(name, issuing_key.public_key(), root, now), issuing_key))
