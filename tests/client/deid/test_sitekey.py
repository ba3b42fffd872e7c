"""The site's own key: pseudonyms that stay, UIDs that fit together, nothing that can be undone."""

import hashlib
import hmac
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom.uid import UID

from fedvox.client.deid.sitekey import SiteKey
from fedvox.common.errors import InputError, ResourceError

KEY = SiteKey(bytes(range(32)))
OTHER = SiteKey(bytes(32))


def test_a_pseudonym_is_an_hmac_in_readable_form() -> None:
    import base64

    digest = hmac.new(bytes(range(32)), b"fedvox patient\x004711", hashlib.sha256).digest()
    by_hand = base64.b32encode(digest[:10]).decode()
    assert KEY.pseudonym("4711").replace("-", "") == "P" + by_hand
    assert re.fullmatch(r"P(-[A-Z2-7]{4}){4}", KEY.pseudonym("4711"))


def test_one_patient_one_pseudonym_however_his_id_is_padded() -> None:
    assert KEY.pseudonym("4711") == KEY.pseudonym(" 4711 \0")
    assert KEY.pseudonym("Mu\u0308ller") == KEY.pseudonym("M\u00fcller")
    people = [f"{number:06d}" for number in range(2000)]
    assert len({KEY.pseudonym(one) for one in people}) == 2000
    assert KEY.pseudonym("4711") != OTHER.pseudonym("4711")
    assert KEY.pseudonym("abc") != KEY.pseudonym("ABC")  # an identifier is not a word


def test_uids_are_valid_and_under_the_root_of_uuids() -> None:
    for number in range(200):
        uid = KEY.uid(f"1.2.3.{number}")
        assert uid.startswith("2.25.") and UID(uid).is_valid and len(uid) <= 64
    assert KEY.uid("1.2.3") == KEY.uid("1.2.3\0") != KEY.uid("1.2.4")
    assert KEY.uid("1.2.3") != OTHER.uid("1.2.3")


def test_dates_of_a_patient_move_together_into_the_past() -> None:
    shifts = {KEY.shift_days(str(patient)) for patient in range(500)}
    assert len(shifts) > 400 and max(shifts) < 0 and min(shifts) >= -3650
    assert KEY.shift_days("4711") == KEY.shift_days("4711 ")


def test_what_is_sealed_only_the_key_opens() -> None:
    sealed = KEY.seal("/export/JANE_DOE/1.dcm")
    assert b"JANE" not in sealed and KEY.seal("x") != KEY.seal("x")
    assert KEY.unseal(sealed) == "/export/JANE_DOE/1.dcm"
    with pytest.raises(InputError, match="restore it"):
        OTHER.unseal(sealed)
    with pytest.raises(InputError):
        KEY.unseal(sealed[:-1] + bytes([sealed[-1] ^ 1]))


def test_the_key_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    key = SiteKey.of(tmp_path)
    path = tmp_path / "identity" / "pseudonym.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    assert SiteKey.of(tmp_path) == key != SiteKey.of(tmp_path / "elsewhere")
    assert key.secret.hex() not in repr(key) and "secret" not in repr(key)
    path.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        SiteKey.of(tmp_path)


@pytest.mark.parametrize("content", ["", "00", "not hex", "00" * 33])
def test_a_damaged_key_is_never_replaced(tmp_path: Path, content: str) -> None:
    SiteKey.of(tmp_path)
    path = tmp_path / "identity" / "pseudonym.key"
    path.write_text(content)
    with pytest.raises(InputError, match="restore it from a backup"):
        SiteKey.of(tmp_path)
    assert path.read_text() == content


def test_a_key_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "identity" / "pseudonym.key").mkdir(parents=True)
    with pytest.raises(ResourceError, match="cannot be read"):
        SiteKey.of(tmp_path)


def test_processes_that_make_it_together_use_one(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from fedvox.client.deid.sitekey import SiteKey; "
        "sys.stdin.read(1); print(SiteKey.of(Path(sys.argv[1])).secret.hex())"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for one in running:
        assert one.stdin is not None
        one.stdin.write("x")
        one.stdin.flush()
    assert len({one.communicate()[0] for one in running}) == 1
    assert len(list((tmp_path / "identity").iterdir())) == 1
