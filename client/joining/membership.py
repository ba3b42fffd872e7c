"""A site's papers on its own disk, from the first key to the last renewal.

HOME/identity/              key.pem, chain.pem, ca.pem: its credentials
HOME/identity/coordinator.pem   the coordinator's certificates, for what it signs
HOME/identity/joining.pem   a key that is not certified yet
HOME/site.toml              written last: with it the site has joined
"""

from __future__ import annotations

from pathlib import Path

from fedvox.client.settings import FILE as SETTINGS_FILE
from fedvox.client.settings import SiteSettings
from fedvox.common.audit.trail import FILE as AUDIT_FILE
from fedvox.common.errors import IdentityError
from fedvox.common.files import sync_folder, write_bytes_atomic, write_text_atomic
from fedvox.common.identity.certificates import pem_of, utc_now
from fedvox.common.identity.credentials import (
    CHAIN_FILE,
    KEY_FILE,
    Credentials,
    replace_chain,
    write_credentials,
)
from fedvox.common.identity.enrolment import EnrolmentAnswer, invitation_of
from fedvox.common.identity.keys import PrivateKey, load_key, new_key, public_pem, save_key
from fedvox.common.identity.kit import Kit
from fedvox.common.identity.names import Role
from fedvox.common.identity.secret_files import make_private_folder

FOLDER = "identity"
COORDINATOR_FILE = "coordinator.pem"
PENDING_FILE = "joining.pem"
INVITATION_FILE = "invitation"


def key_to_join_with(home: Path, anew: bool) -> PrivateKey:
    """The key that is not certified yet, else the site's own, else a new one, kept from now on."""
    folder = home / FOLDER
    if not home.exists():  # one that is there may be shared with the trainer's account
        make_private_folder(home)
    make_private_folder(folder)
    pending, own = folder / PENDING_FILE, folder / KEY_FILE
    if pending.exists():
        return load_key(pending)
    if own.exists() and not anew:
        return load_key(own)
    key = new_key()
    save_key(key, pending)
    return key


def is_pending(home: Path) -> bool:
    """Whether a join was begun whose key is not certified yet."""
    return (home / FOLDER / PENDING_FILE).exists()


def drop_pending(home: Path) -> None:
    """Forgets a key that was refused, where the site has one: else it would be its next one."""
    if (home / FOLDER / KEY_FILE).exists():
        (home / FOLDER / PENDING_FILE).unlink(missing_ok=True)


def credentials_here(home: Path) -> Credentials | None:
    """The site's credentials, or None where it has none that can be used."""
    folder = home / FOLDER
    if not (folder / CHAIN_FILE).exists():
        return None
    try:
        return Credentials.load(folder)
    except IdentityError:
        # A join that was interrupted between key and certificate; joining again mends it.
        if (folder / PENDING_FILE).exists():
            return None
        raise


def require_same_site(home: Path, kit: Kit, credentials: Credentials) -> None:
    """Raises IdentityError where the folder is that of another site or consortium."""
    identity = credentials.identity
    if identity.role is not Role.SITE or identity.name != kit.site:
        raise IdentityError(
            f"{home}: is the folder of {identity.role} {identity.name}, and the kit is for "
            f"{kit.site}; name another folder with --home"
        )
    if credentials.authority != kit.authority:
        raise IdentityError(
            f"{home}: is the folder of a site of another consortium; name another with --home"
        )


def keep(
    home: Path, kit: Kit, key: PrivateKey, answer: EnrolmentAnswer, settings: SiteSettings
) -> None:
    """Writes what an answer brought, once it was accepted; may be done again after a crash."""
    folder = home / FOLDER
    _close_log_of_another_key(home, key)
    write_credentials(folder, key, answer.chain, answer.root)
    write_bytes_atomic(folder / COORDINATOR_FILE, pem_of(answer.coordinator))
    settings.save(home)
    write_text_atomic(folder / INVITATION_FILE, invitation_of(kit.token) + "\n")
    (folder / PENDING_FILE).unlink(missing_ok=True)
    sync_folder(folder)


def _close_log_of_another_key(home: Path, key: PrivateKey) -> None:
    """A log is signed by one key from its first line on; with another key another log begins."""
    own, log = home / FOLDER / KEY_FILE, home / AUDIT_FILE
    if not own.exists() or not log.exists():
        return
    before = load_key(own)
    if public_pem(before.public_key()) != public_pem(key.public_key()):
        log.rename(home / f"audit-until-{utc_now():%Y%m%dT%H%M%S}.jsonl")
        sync_folder(home)


def keep_renewed(home: Path, answer: EnrolmentAnswer) -> None:
    """Puts a renewed certificate in the place of the old."""
    folder = home / FOLDER
    replace_chain(folder, answer.chain)
    write_bytes_atomic(folder / COORDINATOR_FILE, pem_of(answer.coordinator))


def joined_with(home: Path, kit: Kit) -> bool:
    """Whether this was the last kit that the site joined with."""
    path = home / FOLDER / INVITATION_FILE
    return path.exists() and path.read_text().strip() == invitation_of(kit.token)


def has_joined(home: Path) -> bool:
    """Whether a join here came to its end."""
    return (home / SETTINGS_FILE).exists()
