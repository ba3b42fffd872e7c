"""Making a consortium: its root, what signs below it, the coordinator and the first operator.

DIR/authority/root.key      signs only new issuing certificates: keep it somewhere else
DIR/authority/root.pem
DIR/authority/issuing.key   signs the certificates of coordinator, sites and operators
DIR/authority/issuing.pem
DIR/identity/               the coordinator's credentials
DIR/operator.pem            the credentials of the first operator, an admin
DIR/registry.db             who belongs
DIR/coordinator.toml        with it the consortium is there
"""

from __future__ import annotations

from pathlib import Path

from fedvox.common.errors import InputError
from fedvox.common.files import write_bytes_atomic
from fedvox.common.identity.certificates import certificates_of, pem_of, utc_now
from fedvox.common.identity.credentials import write_credentials
from fedvox.common.identity.issuing import Issuer, issue_coordinator, new_issuing, new_root
from fedvox.common.identity.keys import fingerprint, load_key, new_key, save_key
from fedvox.common.identity.secret_files import make_private_folder
from fedvox.server.consortium.authority import AUTHORITY, IDENTITY, OPERATOR_FILE, note_certificate
from fedvox.server.consortium.registry import FILE as REGISTRY_FILE
from fedvox.server.consortium.registry import Registry
from fedvox.server.consortium.settings import FILE as SETTINGS_FILE
from fedvox.server.consortium.settings import CoordinatorSettings

_OWN = (AUTHORITY, IDENTITY, OPERATOR_FILE, REGISTRY_FILE, SETTINGS_FILE)


def found(home: Path, settings: CoordinatorSettings) -> None:
    """Makes a consortium in a folder that has none: all but its first operator."""
    _require_none(home)
    make_private_folder(home)
    issuing, root = _make_authority(home / AUTHORITY, settings.name)
    key, now = new_key(), utc_now()
    certificate = issue_coordinator(
        settings.name, key.public_key(), settings.certificate_hosts, issuing, now
    )
    registry = Registry(home)
    registry.create()
    with registry.changing() as database:
        note_certificate(database, certificate)
    chain = [certificate, issuing.certificate]
    write_credentials(home / IDENTITY, key, chain, root.certificate)
    settings.save(home)


def _require_none(home: Path) -> None:
    if home.exists() and not home.is_dir():
        raise InputError(f"{home}: is a file; name a new folder for the consortium")
    there = [name for name in _OWN if (home / name).exists()]
    if there:
        raise InputError(
            f"{home}: holds {there[0]} already; a consortium is never made over another. Name "
            "another folder, or move away what is there"
        )


def _make_authority(folder: Path, name: str) -> tuple[Issuer, Issuer]:
    make_private_folder(folder)
    now, root_key = utc_now(), new_key()
    root = Issuer(new_root(name, root_key, now), root_key)
    save_key(root_key, folder / "root.key")
    write_bytes_atomic(folder / "root.pem", pem_of([root.certificate]))
    return renew_issuing(folder, name, root), root


def renew_issuing(folder: Path, name: str, root: Issuer) -> Issuer:
    """A new issuing authority in the place of the old; what that one has signed stays good."""
    key = new_key()
    certificate = new_issuing(name, key.public_key(), root, utc_now())
    save_key(key, folder / "issuing.key")
    write_bytes_atomic(folder / "issuing.pem", pem_of([certificate]))
    return Issuer(certificate, key)


def read_root(home: Path, key_file: Path) -> Issuer:
    """The root, with its key from wherever that is kept."""
    path = home / AUTHORITY / "root.pem"
    root = Issuer(certificates_of(path.read_bytes(), str(path))[0], load_key(key_file))
    if fingerprint(root.certificate) != fingerprint(root.key.public_key()):
        raise InputError(f"{key_file}: is not the key of this consortium's root, {path}")
    return root
