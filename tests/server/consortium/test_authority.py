from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from enrolment import Consortium, consortium

from fedvox.common.errors import IdentityError
from fedvox.common.identity.certificates import pem_of, utc_now
from fedvox.common.identity.credentials import replace_chain
from fedvox.common.identity.issuing import issue_coordinator, new_issuing
from fedvox.common.identity.keys import new_key, save_key
from fedvox.server.consortium.authority import moment, renew_coordinator_if_due
from fedvox.server.consortium.founding import read_root


@pytest.fixture
def hub(tmp_path: Path) -> Consortium:
    return consortium(tmp_path / "hub", 8443)


def aged(hub: Consortium, days: int) -> None:
    """Gives the coordinator a certificate that was made that long ago."""
    authority = hub.authority
    own, issuer = authority.credentials(), authority.issuer()
    hosts = authority.settings.certificate_hosts
    then = utc_now() - timedelta(days=days)
    made = issue_coordinator("trial", own.key.public_key(), hosts, issuer, then)
    replace_chain(hub.home / "identity", [made, issuer.certificate])


def test_the_coordinators_certificate_renews_itself_at_half_its_life(hub: Consortium) -> None:
    before = hub.authority.credentials()
    assert not renew_coordinator_if_due(hub.authority)
    aged(hub, 180)
    assert not renew_coordinator_if_due(hub.authority)
    aged(hub, 183)
    assert renew_coordinator_if_due(hub.authority)
    after = hub.authority.credentials()
    assert after.fingerprint == before.fingerprint
    assert after.identity.not_after > utc_now() + timedelta(days=360)
    assert not hub.authority.registry.is_revoked(after.identity.serial)
    assert hub.kinds == ["coordinator-renewed"]


def test_a_new_address_is_in_the_certificate_at_once(hub: Consortium) -> None:
    replace(hub.authority.settings, addresses=("fl.example.org:1", "[2001:db8::7]:1")).save(
        hub.home
    )
    assert renew_coordinator_if_due(hub.authority)
    assert not renew_coordinator_if_due(hub.authority)
    names = (
        hub.authority.credentials()
        .certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value
    )
    assert names.get_values_for_type(x509.DNSName) == ["fl.example.org", "localhost"]
    ips = names.get_values_for_type(x509.IPAddress)
    assert [str(ip) for ip in ips] == ["2001:db8::7", "127.0.0.1"]


def test_an_issuing_certificate_that_ends_says_what_to_do(hub: Consortium) -> None:
    assert hub.authority.troubles() == []
    root = read_root(hub.home, hub.home / "authority/root.key")
    key = hub.authority.issuer().key.public_key()
    old = new_issuing("trial", key, root, utc_now() - timedelta(days=365 * 5))
    (hub.home / "authority/issuing.pem").write_bytes(pem_of([old]))
    (told,) = hub.authority.troubles()
    assert "the issuing certificate ends on" in told and "consortium rotate" in told
    with pytest.raises(IdentityError, match="consortium rotate"):
        hub.authority.issuer()


def test_an_interrupted_rotation_signs_nothing(hub: Consortium) -> None:
    save_key(new_key(), hub.home / "authority/issuing.key")
    with pytest.raises(IdentityError, match="do not go together"):
        hub.authority.issuer()


def test_certificates_that_ended_long_ago_are_dropped_and_stay_revoked(hub: Consortium) -> None:
    long_ago = moment(utc_now() - timedelta(days=31))
    registry = hub.authority.registry
    with registry.changing() as database:
        database.execute(
            "INSERT INTO certificates VALUES ('ab', 'a', 'site', ?, ?, NULL)", (long_ago, long_ago)
        )
    assert not registry.is_revoked("ab")
    aged(hub, 200)
    renew_coordinator_if_due(hub.authority)
    assert registry.is_revoked("ab")
