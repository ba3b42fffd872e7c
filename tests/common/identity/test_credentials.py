import signal
import stat
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from papers import LIFE, new_papers

from fedvox.common.errors import IdentityError
from fedvox.common.identity.certificates import utc_now
from fedvox.common.identity.credentials import (
    Credentials,
    replace_chain,
    write_bundle,
    write_credentials,
)
from fedvox.common.identity.issuing import CLOCK_SLACK, issue_site
from fedvox.common.identity.keys import fingerprint, new_key

PAPERS = new_papers()


def test_a_folder_of_credentials(tmp_path: Path) -> None:
    folder = tmp_path / "identity"
    own = PAPERS.site(folder)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes["key.pem"] == 0o600 and stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert set(modes) == {"key.pem", "chain.pem", "ca.pem"}
    assert own.authority == fingerprint(PAPERS.root.certificate)
    assert own.fingerprint == fingerprint(own.key.public_key())
    assert "key=" not in repr(own).replace("public_key=", "")


def test_a_bundle_holds_the_same(tmp_path: Path) -> None:
    own, path = PAPERS.site(tmp_path / "identity"), tmp_path / "one.pem"
    write_bundle(path, own.key, [own.certificate, PAPERS.issuing.certificate], own.root)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = Credentials.load_bundle(path)
    assert (again.identity, again.authority) == (own.identity, own.authority)
    path.chmod(0o644)
    with pytest.raises(IdentityError, match="chmod 600"):
        Credentials.load_bundle(path)


def test_half_of_the_life_is_when_renewal_is_due(tmp_path: Path) -> None:
    own = PAPERS.site(tmp_path)
    half = own.identity.not_before + (LIFE + CLOCK_SLACK) / 2
    assert not own.renewal_due(half - timedelta(seconds=1))
    assert own.renewal_due(half)


def test_a_certificate_of_another_key_is_refused(tmp_path: Path) -> None:
    PAPERS.site(tmp_path)
    other = issue_site("st-anna", new_key().public_key(), PAPERS.issuing, *_now())
    replace_chain(tmp_path, [other, PAPERS.issuing.certificate])
    with pytest.raises(IdentityError, match="is not of the key"):
        Credentials.load(tmp_path)


def _now() -> tuple[datetime, timedelta]:
    return utc_now(), LIFE


@pytest.mark.parametrize("name", ["key.pem", "chain.pem", "ca.pem"])
def test_what_is_missing_is_named(tmp_path: Path, name: str) -> None:
    PAPERS.site(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(IdentityError, match=rf"{name}: not found"):
        Credentials.load(tmp_path)
    (tmp_path / name).write_text("damaged")
    (tmp_path / name).chmod(0o600)
    with pytest.raises(IdentityError, match=name):
        Credentials.load(tmp_path)


RENEWING = """
import sys
from pathlib import Path
from fedvox.common.identity.credentials import Credentials, replace_chain
from fedvox.common.identity.certificates import certificates_of
folder = Path(sys.argv[1])
chains = [certificates_of((folder / name).read_bytes(), name) for name in ("one", "two")]
print("ready", flush=True)
while True:
    for chain in chains:
        replace_chain(folder, chain)
"""


def test_killed_while_renewing_one_certificate_or_the_other_is_there(tmp_path: Path) -> None:
    own = PAPERS.site(tmp_path)
    for name in ("one", "two"):
        replace_chain(
            tmp_path,
            [
                issue_site("st-anna", own.key.public_key(), PAPERS.issuing, *_now()),
                PAPERS.issuing.certificate,
            ],
        )
        (tmp_path / "chain.pem").rename(tmp_path / name)
    replace_chain(tmp_path, [own.certificate, PAPERS.issuing.certificate])
    for delay in (0.0, 0.01, 0.05):
        command = [sys.executable, "-c", RENEWING, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
            assert running.stdout is not None and running.stdout.readline() == b"ready\n"
            until = time.monotonic() + delay
            while time.monotonic() < until:
                assert Credentials.load(tmp_path).identity.name == "st-anna"
            running.send_signal(signal.SIGKILL)
        assert Credentials.load(tmp_path).fingerprint == own.fingerprint


def test_a_key_can_be_put_in_the_place_of_another(tmp_path: Path) -> None:
    PAPERS.site(tmp_path)
    key = new_key()
    made = issue_site("st-anna", key.public_key(), PAPERS.issuing, *_now())
    write_credentials(tmp_path, key, [made, PAPERS.issuing.certificate], PAPERS.root.certificate)
    assert Credentials.load(tmp_path).fingerprint == fingerprint(key.public_key())
