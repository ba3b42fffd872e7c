import stat
import subprocess
from pathlib import Path

import pytest
from enrolment import Consortium, consortium

from fedvox.common.errors import InputError
from fedvox.common.identity.certificates import certificates_of, pem_of
from fedvox.common.identity.credentials import Credentials
from fedvox.common.identity.keys import fingerprint, new_key, save_key
from fedvox.common.identity.names import Role
from fedvox.server.consortium.founding import found, read_root, renew_issuing
from fedvox.server.consortium.settings import settings_for


@pytest.fixture
def hub(tmp_path: Path) -> Consortium:
    return consortium(tmp_path / "hub", 8443)


def test_a_new_consortium(hub: Consortium) -> None:
    own = Credentials.load(hub.home / "identity")
    assert (own.identity.role, own.identity.name) == (Role.COORDINATOR, "trial")
    assert not hub.authority.registry.is_revoked(own.identity.serial)
    root, issuing = hub.home / "authority/root.pem", hub.home / "authority/issuing.pem"
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname",
               "localhost", "-CAfile", root, "-untrusted", issuing, own.chain_file]  # fmt: skip
    assert b"OK" in subprocess.run(command, capture_output=True, check=True).stdout


def test_keys_and_folders_are_its_owners_only(hub: Consortium) -> None:
    assert stat.S_IMODE(hub.home.stat().st_mode) == 0o700
    keys = [*hub.home.rglob("*key*"), hub.home / "registry.db"]
    assert len(keys) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}


def test_none_is_made_over_another(hub: Consortium) -> None:
    before = (hub.home / "authority/root.key").read_bytes()
    with pytest.raises(InputError, match="never made over another"):
        found(hub.home, settings_for("other", ()))
    assert (hub.home / "authority/root.key").read_bytes() == before
    (hub.home / "coordinator.toml").unlink()  # what an interrupted one leaves is not taken either
    with pytest.raises(InputError, match="holds authority already"):
        found(hub.home, settings_for("other", ()))


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "hub").write_text("")
    with pytest.raises(InputError, match="is a file"):
        found(tmp_path / "hub", settings_for("trial", ()))


def test_the_root_may_be_elsewhere_and_makes_a_new_issuing_key(
    hub: Consortium, tmp_path: Path
) -> None:
    away = tmp_path / "stick.key"
    (hub.home / "authority/root.key").rename(away)
    before = hub.authority.issuer()
    after = renew_issuing(hub.home / "authority", "trial", read_root(hub.home, away))
    assert fingerprint(after.certificate) == fingerprint(hub.authority.issuer().certificate)
    assert fingerprint(after.certificate) != fingerprint(before.certificate)
    root = certificates_of((hub.home / "authority/root.pem").read_bytes(), "root")[0]
    after.certificate.verify_directly_issued_by(root)
    assert pem_of([root]) == (hub.home / "identity/ca.pem").read_bytes()


def test_another_roots_key_is_refused(hub: Consortium, tmp_path: Path) -> None:
    save_key(new_key(), tmp_path / "other.key")
    with pytest.raises(InputError, match="not the key of this consortium's root"):
        read_root(hub.home, tmp_path / "other.key")
