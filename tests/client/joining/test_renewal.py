from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from enrolment import Consortium, consortium, free_port, serving
from proxy import connect_proxy

from fedvox.client.joining.join import Wish, join
from fedvox.client.joining.renewal import renew_if_due
from fedvox.client.settings import SiteSettings
from fedvox.common.audit.log import read_log
from fedvox.common.errors import IdentityError, UnreachableError
from fedvox.common.identity.certificates import utc_now
from fedvox.common.identity.credentials import Credentials, replace_chain
from fedvox.common.identity.issuing import issue_site
from fedvox.common.identity.keys import fingerprint
from fedvox.common.identity.refusals import EnrolmentRefused
from fedvox.server.consortium.admission import invite
from fedvox.server.consortium.authority import note_certificate
from fedvox.server.consortium.founding import read_root, renew_issuing
from fedvox.server.consortium.members import revoke_site

PORT = free_port()


@pytest.fixture
def hub(tmp_path: Path) -> Consortium:
    return consortium(tmp_path / "hub", PORT)


@pytest.fixture
def home(hub: Consortium, tmp_path: Path) -> Iterator[Path]:
    """A site that has joined, and whose coordinator answers."""
    with serving(hub, PORT):
        join(tmp_path / "site", invite(hub.authority, "st-anna"), Wish())
        yield tmp_path / "site"


def aged(hub: Consortium, home: Path, days: int) -> None:
    """Gives the site a certificate that was issued that long ago."""
    own, issuer = Credentials.load(home / "identity"), hub.authority.issuer()
    then, life = utc_now() - timedelta(days=days), timedelta(days=14)
    made = issue_site("st-anna", own.key.public_key(), issuer, then, life)
    with hub.authority.registry.changing() as database:
        note_certificate(database, made)
    replace_chain(home / "identity", [made, issuer.certificate])


def test_it_is_renewed_from_half_of_its_life_on(hub: Consortium, home: Path) -> None:
    assert not renew_if_due(home)
    aged(hub, home, 6)
    assert not renew_if_due(home)
    aged(hub, home, 8)
    before = Credentials.load(home / "identity")
    assert renew_if_due(home)
    after = Credentials.load(home / "identity")
    assert after.fingerprint == before.fingerprint
    assert after.identity.not_after > utc_now() + timedelta(days=13)
    assert not renew_if_due(home)
    assert hub.kinds[-1] == "site-renewed"
    assert read_log(home / "audit.jsonl")[-1].kind == "renewed"


def test_over_years_no_kit_is_needed(hub: Consortium, home: Path) -> None:
    for _ in range(5):
        aged(hub, home, 13)
        assert renew_if_due(home)
    serials = {fields["serial"] for kind, fields in hub.said if kind == "site-renewed"}
    assert len(serials) == 5


def test_a_new_issuing_key_reaches_the_site_with_its_renewal(hub: Consortium, home: Path) -> None:
    root = read_root(hub.home, hub.home / "authority/root.key")
    renew_issuing(hub.home / "authority", "trial", root)
    before = Credentials.load(home / "identity").chain[1]
    aged(hub, home, 8)
    assert renew_if_due(home)
    after = Credentials.load(home / "identity").chain[1]
    assert (
        fingerprint(before) != fingerprint(after) == fingerprint(hub.authority.issuer().certificate)
    )


def test_a_revoked_site_is_told_and_keeps_what_it_has(hub: Consortium, home: Path) -> None:
    aged(hub, home, 8)
    before = (home / "identity/chain.pem").read_bytes()
    revoke_site(hub.authority, "st-anna")
    with pytest.raises(EnrolmentRefused, match="was revoked"):
        renew_if_due(home)
    assert (home / "identity/chain.pem").read_bytes() == before


def test_after_its_end_only_a_new_kit_helps(hub: Consortium, home: Path) -> None:
    aged(hub, home, 15)
    with pytest.raises(IdentityError, match=r"ended on .*invite st-anna --again"):
        renew_if_due(home)


def test_through_the_sites_proxy_and_past_a_dead_address(hub: Consortium, home: Path) -> None:
    aged(hub, home, 8)
    dead = f"127.0.0.1:{free_port()}"
    with connect_proxy() as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        SiteSettings("st-anna", "trial", (dead, f"127.0.0.1:{PORT}"), url).save(home)
        assert renew_if_due(home)
    assert proxy.asked == [dead, f"127.0.0.1:{PORT}"]


def test_without_a_coordinator_it_is_tried_another_time(hub: Consortium, tmp_path: Path) -> None:
    home = tmp_path / "site"
    with serving(hub, PORT):
        join(home, invite(hub.authority, "st-anna"), Wish())
    aged(hub, home, 8)
    with pytest.raises(UnreachableError):
        renew_if_due(home)
    with serving(hub, PORT):
        assert renew_if_due(home)
