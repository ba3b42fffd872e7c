"""What a party proves itself with: its key, its certificate, and the root it trusts.

    FOLDER/key.pem      the private key, 0600; it stays for as long as the party does
    FOLDER/chain.pem    its certificate and that of the authority which issued it; renewed
    FOLDER/ca.pem       the consortium's root

An operator has the same in one file, key first and root last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Self

from cryptography import x509

from fedvox.common.errors import IdentityError
from fedvox.common.files import write_bytes_atomic
from fedvox.common.identity.certificates import (
    Identity,
    certificates_of,
    identity_of,
    pem_of,
)
from fedvox.common.identity.keys import (
    PrivateKey,
    fingerprint,
    private_key_of,
    private_pem,
    public_pem,
    save_key,
)
from fedvox.common.identity.secret_files import make_private_folder, read_secret, write_secret

KEY_FILE, CHAIN_FILE, ROOT_FILE = "key.pem", "chain.pem", "ca.pem"


@dataclass(frozen=True)
class Credentials:
    """A key, the certificates that vouch for it, and whom they name."""

    identity: Identity
    key: PrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...]
    """Its own certificate, and that of the authority which issued it."""
    root: x509.Certificate
    key_file: Path
    chain_file: Path

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The credentials in a folder; IdentityError where they are missing or do not fit."""
        key_file, chain_file = folder / KEY_FILE, folder / CHAIN_FILE
        key = private_key_of(read_secret(key_file), str(key_file))
        chain = certificates_of(_read(chain_file), str(chain_file))
        root = certificates_of(_read(folder / ROOT_FILE), str(folder / ROOT_FILE))
        return cls._fitted(key, [*chain, root[0]], key_file, chain_file)

    @classmethod
    def load_bundle(cls, path: Path) -> Self:
        """The credentials in one file, as an operator has them."""
        content = read_secret(path)
        return cls._fitted(
            private_key_of(content, str(path)), certificates_of(content, str(path)), path, path
        )

    @classmethod
    def _fitted(
        cls, key: PrivateKey, chain: Sequence[x509.Certificate], key_file: Path, chain_file: Path
    ) -> Self:
        identity = identity_of(chain[0])
        if identity.public_key != public_pem(key.public_key()) or len(chain) < 2:
            raise IdentityError(
                f"{chain_file}: the certificate is not of the key in {key_file}; restore both from "
                "one backup, or join again with a new kit"
            )
        return cls(identity, key, tuple(chain[:-1]), chain[-1], key_file, chain_file)

    @property
    def certificate(self) -> x509.Certificate:
        """Its own certificate."""
        return self.chain[0]

    @property
    def authority(self) -> str:
        """Fingerprint of the consortium's root."""
        return fingerprint(self.root)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the party's own key."""
        return fingerprint(self.certificate)

    @property
    def root_pem(self) -> str:
        """The consortium's root as PEM."""
        return pem_of([self.root]).decode()

    def renewal_due(self, now: datetime) -> bool:
        """Whether half of the certificate's life is over."""
        life = self.identity.not_after - self.identity.not_before
        return now >= self.identity.not_before + life / 2


def write_credentials(
    folder: Path, key: PrivateKey, chain: Sequence[x509.Certificate], root: x509.Certificate
) -> None:
    """Writes a party's credentials; the chain last, which makes them complete."""
    make_private_folder(folder)
    save_key(key, folder / KEY_FILE)
    write_bytes_atomic(folder / ROOT_FILE, pem_of([root]))
    replace_chain(folder, chain)


def replace_chain(folder: Path, chain: Sequence[x509.Certificate]) -> None:
    """Puts a new certificate for the same key in the place of the old one, at once."""
    write_bytes_atomic(folder / CHAIN_FILE, pem_of(chain))


def write_bundle(
    path: Path, key: PrivateKey, chain: Sequence[x509.Certificate], root: x509.Certificate
) -> None:
    """Writes credentials as one file."""
    write_secret(path, private_pem(key) + pem_of([*chain, root]))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise IdentityError(
            f"{path}: not found; a site gets it with `fedvox site join KIT`, a coordinator with "
            "`fedvox consortium init DIR`"
        ) from None
    except OSError as error:
        raise IdentityError(f"{path}: cannot be read: {error.strerror}") from None
