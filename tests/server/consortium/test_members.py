from datetime import timedelta
from pathlib import Path

import pytest
from enrolment import Consortium, consortium

from fedvox.common.errors import InputError
from fedvox.common.identity.certificates import identity_of, utc_now, verify_chain
from fedvox.common.identity.credentials import Credentials
from fedvox.common.identity.enrolment import EnrolmentRequest
from fedvox.common.identity.keys import new_key
from fedvox.common.identity.names import Rank, Role
from fedvox.common.identity.refusals import EnrolmentRefused
from fedvox.server.consortium.admission import enrol, invite
from fedvox.server.consortium.members import admit_operator, revoke_operator, revoke_site
from fedvox.server.consortium.registry import SiteState


@pytest.fixture
def hub(tmp_path: Path) -> Consortium:
    return consortium(tmp_path / "hub", 8443)


def test_revocation_is_of_everything(hub: Consortium) -> None:
    kit, key = invite(hub.authority, "st-anna"), new_key()
    request = EnrolmentRequest.make("st-anna", key, kit.token)
    identity = identity_of(enrol(hub.authority, request).chain[0])
    second, registry = invite(hub.authority, "st-anna", again=True), hub.authority.registry
    before = registry.changes()
    assert revoke_site(hub.authority, "st-anna")
    assert registry.changes() > before and registry.is_revoked(identity.serial)
    entry = registry.site("st-anna")
    assert entry is not None and entry.state is SiteState.REVOKED and entry.revoked_at
    assert registry.node_key("st-anna") is None
    for kit_then in (kit, second):  # no kit from before helps
        with pytest.raises(EnrolmentRefused):
            enrol(hub.authority, EnrolmentRequest.make("st-anna", key, kit_then.token))
    assert not revoke_site(hub.authority, "st-anna")
    assert hub.kinds.count("site-revoked") == 1


def test_a_revoked_site_comes_back_only_invited_again_and_with_a_new_key(hub: Consortium) -> None:
    kit, key = invite(hub.authority, "st-anna"), new_key()
    enrol(hub.authority, EnrolmentRequest.make("st-anna", key, kit.token))
    revoke_site(hub.authority, "st-anna")
    with pytest.raises(InputError, match="is revoked already"):
        invite(hub.authority, "st-anna")
    again = invite(hub.authority, "st-anna", again=True)
    with pytest.raises(EnrolmentRefused, match="--new-key"):
        enrol(hub.authority, EnrolmentRequest.make("st-anna", key, again.token))
    enrol(hub.authority, EnrolmentRequest.make("st-anna", new_key(), again.token))
    entry = hub.authority.registry.site("st-anna")
    assert entry is not None and entry.state is SiteState.ACTIVE and entry.revoked_at is None


def test_an_unknown_site_is_named_with_the_nearest(hub: Consortium) -> None:
    with pytest.raises(InputError, match="no site was invited yet"):
        revoke_site(hub.authority, "st-ana")
    invite(hub.authority, "st-anna")
    with pytest.raises(InputError, match="did you mean 'st-anna'"):
        revoke_site(hub.authority, "st-ana")


def test_operators(hub: Consortium, tmp_path: Path) -> None:
    registry, out = hub.authority.registry, tmp_path / "otto.pem"
    assert registry.rank_of("otto") is None
    print_of = admit_operator(hub.authority, "otto", Rank.VIEWER, out, 30)
    own = Credentials.load_bundle(out)
    assert own.fingerprint == print_of and registry.rank_of("otto") is Rank.VIEWER
    assert (own.identity.role, own.identity.rank) == (Role.OPERATOR, Rank.VIEWER)
    assert own.identity.not_after - utc_now() < timedelta(days=30)
    verify_chain([own.certificate, hub.authority.issuer().certificate], own.root, utc_now())
    with pytest.raises(InputError, match="never written over"):
        admit_operator(hub.authority, "otto", Rank.ADMIN, out)
    assert registry.rank_of("otto") is Rank.VIEWER


def test_new_credentials_end_those_from_before(hub: Consortium, tmp_path: Path) -> None:
    registry = hub.authority.registry
    for number, rank in enumerate((Rank.ADMIN, Rank.OPERATOR)):
        admit_operator(hub.authority, "otto", rank, tmp_path / f"{number}.pem")
    old, new = (Credentials.load_bundle(tmp_path / f"{n}.pem").identity.serial for n in (0, 1))
    assert registry.is_revoked(old) and not registry.is_revoked(new)
    assert registry.rank_of("otto") is Rank.OPERATOR
    assert revoke_operator(hub.authority, "otto")
    assert registry.is_revoked(new) and registry.rank_of("otto") is None
    assert not revoke_operator(hub.authority, "otto")
    with pytest.raises(InputError, match="did you mean 'otto'"):
        revoke_operator(hub.authority, "oto")


def test_an_operators_file_that_cannot_be_written_admits_nobody(
    hub: Consortium, tmp_path: Path
) -> None:
    with pytest.raises(Exception, match="cannot be written"):
        admit_operator(hub.authority, "otto", Rank.ADMIN, tmp_path / "none" / "otto.pem")
    assert hub.authority.registry.rank_of("otto") is None
