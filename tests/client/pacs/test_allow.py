"""Who may send."""

import pytest

from fedvox.client.pacs.allow import ANYBODY, LOOPBACK, AllowList, checked_title, plain_address
from fedvox.common.errors import InputError


@pytest.mark.parametrize(
    ("entry", "title", "address", "may"),
    [
        ("PACS", "PACS", "10.1.2.3", True),
        ("PACS", "pacs", "10.1.2.3", False),
        ("PACS", "PACS2", "10.1.2.3", False),
        ("PACS@10.1.2.3", "PACS", "10.1.2.3", True),
        ("PACS@10.1.2.3", "PACS", "10.1.2.4", False),
        ("PACS@10.1.2.3", "OTHER", "10.1.2.3", False),
        ("PACS@10.1.0.0/16", "PACS", "10.1.255.1", True),
        ("PACS@10.1.0.0/16", "PACS", "10.2.0.1", False),
        ("*@10.1.2.3", "WHO EVER", "10.1.2.3", True),
        ("PACS@10.1.2.3", "PACS", "::ffff:10.1.2.3", True),
        ("PACS@fe80::1", "PACS", "fe80::1%eth0", True),
        ("PACS@10.0.0.0/8", "PACS", "::1", False),
        ("PACS@localhost", "PACS", "127.0.0.1", True),
        ("PACS@localhost", "PACS", "127.0.0.2", False),
        ("PACS@no-such-host.invalid", "PACS", "127.0.0.1", False),
        ("P@CS", "P", "127.0.0.1", False),
    ],
)
def test_an_entry_fits(entry: str, title: str, address: str, may: bool) -> None:
    assert AllowList.of([entry]).fits(title, address) is may


def test_any_of_several_entries_is_enough_and_none_lets_nobody_in() -> None:
    assert AllowList.of(["A@10.0.0.1", "B"]).fits("B", "10.9.9.9")
    assert not AllowList.of([]).fits("B", "127.0.0.1")


def test_this_machine_alone() -> None:
    assert LOOPBACK.fits("X", "127.0.0.1") and LOOPBACK.fits("X", "::1")
    assert not LOOPBACK.fits("X", "10.0.0.1")
    assert ANYBODY.fits("X", "10.0.0.1")


@pytest.mark.parametrize("title", ["", " A", "A ", "A" * 17, "A\\B", "Ä", "A\nB"])
def test_what_is_no_title(title: str) -> None:
    with pytest.raises(InputError, match="AE title"):
        checked_title(title)


@pytest.mark.parametrize("text", ["PACS@", "PACS@10.1/x"])
def test_what_is_no_entry(text: str) -> None:
    with pytest.raises(InputError, match="--allow"):
        AllowList.of([text])


def test_addresses_have_one_spelling() -> None:
    assert plain_address("::ffff:1.2.3.4") == "1.2.3.4"
    assert plain_address("0:0:0:0:0:0:0:1") == "::1"
