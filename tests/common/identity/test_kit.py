import contextlib
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fedvox.common.errors import IdentityError
from fedvox.common.identity.addresses import Address
from fedvox.common.identity.kit import Kit

UNTIL = datetime(2026, 11, 28, 12, tzinfo=UTC)
KIT = Kit(
    consortium="trial",
    site="st-anna",
    addresses=(Address("fl.example.org", 8443), Address("2001:db8::7", 8443)),
    authority="ab" * 32,
    token="cd" * 32,
    expires=UNTIL,
)


def test_a_kit_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a.kit"
    KIT.write(path)
    assert Kit.read(path) == KIT
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text()) < 1000


def test_it_does_not_show_its_token() -> None:
    assert KIT.token not in repr(KIT)


def test_it_expires() -> None:
    KIT.require_unexpired(UNTIL)
    with pytest.raises(
        IdentityError, match=r"expired on 2026-11-28 12:00 UTC.*invite st-anna --again"
    ):
        KIT.require_unexpired(UNTIL + timedelta(seconds=1))


def test_each_changed_letter_is_noticed() -> None:
    """Of what counts: comments may be changed, and TOML has more than one way to write a thing."""
    text = KIT.text()
    body = text.index("version")
    for at in range(body, len(text)):
        changed = text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]
        with contextlib.suppress(IdentityError):
            assert Kit.parse(changed, "here") == KIT


@pytest.mark.parametrize("cut", [0, 20, 200, 400, 600])
def test_a_kit_that_was_cut_says_so(cut: int) -> None:
    with pytest.raises(IdentityError, match=r"damaged|another release"):
        Kit.parse(KIT.text()[:cut], "here")


def test_a_kit_of_another_release_says_so() -> None:
    with pytest.raises(IdentityError, match="another release"):
        Kit.parse(KIT.text().replace("version = 1", "version = 2"), "here")


def test_what_is_no_kit(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="cannot be read"):
        Kit.read(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff" * 100)
    with pytest.raises(IdentityError, match="damaged"):
        Kit.read(tmp_path / "bytes")
    (tmp_path / "large").write_text("#" * 10**6)
    with pytest.raises(IdentityError, match=r"damaged|another release"):
        Kit.read(tmp_path / "large")


@pytest.mark.parametrize(
    "change",
    [
        {"site": "../evil"}, {"site": ""}, {"consortium": "A"}, {"addresses": ()},
        {"authority": "ab"}, {"token": ""}, {"token": "CD" * 32},
        {"expires": datetime(2026, 11, 28, 12)},  # without its zone
    ],
)  # fmt: skip
def test_a_kit_that_makes_no_sense_is_refused_even_with_the_right_checksum(
    change: dict[str, object],
) -> None:
    wrong = Kit(**{**vars(KIT), **change})
    with pytest.raises(IdentityError, match="damaged"):
        Kit.parse(wrong.text(), "here")
