"""Who is let in, and who is not. Each refusal leaves the registry as it was."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from enrolment import Consortium, consortium

from fedvox.common.errors import InputError
from fedvox.common.identity.certificates import Identity, identity_of, utc_now
from fedvox.common.identity.credentials import Credentials
from fedvox.common.identity.enrolment import EnrolmentAnswer, EnrolmentRequest, invitation_of
from fedvox.common.identity.issuing import issue_site
from fedvox.common.identity.keys import PrivateKey, new_key, public_pem
from fedvox.common.identity.kit import Kit
from fedvox.common.identity.names import Rank
from fedvox.common.identity.refusals import EnrolmentRefusal, EnrolmentRefused
from fedvox.server.consortium.admission import enrol, invite, renew
from fedvox.server.consortium.authority import moment
from fedvox.server.consortium.members import admit_operator, revoke_site
from fedvox.server.consortium.registry import SiteState


@pytest.fixture
def hub(tmp_path: Path) -> Consortium:
    return consortium(tmp_path / "hub", 8443)


def asked(kit: Kit, key: PrivateKey) -> EnrolmentRequest:
    return EnrolmentRequest.make(kit.site, key, kit.token)


def joined(hub: Consortium, site: str, key: PrivateKey) -> EnrolmentAnswer:
    return enrol(hub.authority, asked(invite(hub.authority, site), key))


def refusal_of(act: Callable[[], object]) -> EnrolmentRefusal:
    with pytest.raises(EnrolmentRefused) as refused:
        act()
    return refused.value.refusal


def state(hub: Consortium) -> object:
    registry = hub.authority.registry
    with registry.reading() as database:
        return [database.execute(f"SELECT * FROM {name}").fetchall() for name in (
            "sites", "invitations", "requests", "certificates", "retired_keys", "meta")]  # fmt: skip


def test_a_site_is_invited_and_joins(hub: Consortium) -> None:
    registry, key = hub.authority.registry, new_key()
    kit = invite(hub.authority, "st-anna")
    entry = registry.site("st-anna")
    assert entry is not None and (entry.state, entry.public_key) == (SiteState.INVITED, None)
    assert registry.node_key("st-anna") is None
    answer = enrol(hub.authority, asked(kit, key))
    identity = answer.accepted(kit.authority, "st-anna", key.public_key(), utc_now())
    assert registry.node_key("st-anna") == public_pem(key.public_key()) == identity.public_key
    assert not registry.is_revoked(identity.serial)
    assert hub.kinds == ["site-invited", "site-joined"]
    assert hub.said[1][1]["serial"] == identity.serial


def test_nothing_of_the_token_is_kept(hub: Consortium) -> None:
    kit = invite(hub.authority, "st-anna")
    enrol(hub.authority, asked(kit, new_key()))
    kept = b"".join(path.read_bytes() for path in hub.home.rglob("*") if path.is_file())
    assert bytes.fromhex(kit.token) not in kept and kit.token.encode() not in kept
    assert invitation_of(kit.token).encode() in kept  # the search would have found it


def test_the_name_is_the_invitations_whatever_the_request_says(hub: Consortium) -> None:
    kit, key = invite(hub.authority, "st-anna"), new_key()
    request = EnrolmentRequest.make("evil", key, kit.token)
    assert identity_of(enrol(hub.authority, request).chain[0]).name == "st-anna"
    attribute = x509.NameAttribute(NameOID.COMMON_NAME, "coordinator")
    bold = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([attribute]))
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .sign(key, hashes.SHA384())
    )
    again = invite(hub.authority, "st-anna", again=True)
    signature = EnrolmentRequest.make("x", key, again.token).signature
    mine = EnrolmentRequest(invitation_of(again.token), bold, signature)
    assert refusal_of(lambda: enrol(hub.authority, mine)) is EnrolmentRefusal.NOT_SIGNED


def test_a_kit_is_good_for_one_key(hub: Consortium) -> None:
    kit, key = invite(hub.authority, "st-anna"), new_key()
    first = asked(kit, key)
    enrol(hub.authority, first)
    before = state(hub)
    assert refusal_of(lambda: enrol(hub.authority, first)) is EnrolmentRefusal.REPLAYED
    thief = asked(kit, new_key())
    assert refusal_of(lambda: enrol(hub.authority, thief)) is EnrolmentRefusal.TOKEN_USED
    assert state(hub) == before


def test_who_lost_the_answer_may_ask_again(hub: Consortium) -> None:
    kit, key = invite(hub.authority, "st-anna"), new_key()
    for _ in range(2):
        answer = enrol(hub.authority, asked(kit, key))
        assert identity_of(answer.chain[0]).public_key == public_pem(key.public_key())


def test_of_many_that_use_a_kit_at_once_one_gets_in(hub: Consortium) -> None:
    kit, done = invite(hub.authority, "st-anna"), []
    authority, start = hub.authority, threading.Barrier(6)

    def one() -> None:
        request = asked(kit, new_key())
        start.wait()
        try:
            enrol(authority, request)
            done.append("in")
        except EnrolmentRefused as refused:
            done.append(str(refused.refusal))

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == ["in", *["token-used"] * 5]


def test_unknown_expired_and_replaced_kits(hub: Consortium) -> None:
    kit = invite(hub.authority, "st-anna")
    with hub.authority.registry.changing() as database:
        database.execute(
            "UPDATE invitations SET expires_at = ?", (moment(utc_now() - timedelta(seconds=1)),)
        )
    before = state(hub)
    late = asked(kit, new_key())
    assert refusal_of(lambda: enrol(hub.authority, late)) is EnrolmentRefusal.TOKEN_EXPIRED
    stranger = EnrolmentRequest.make("st-anna", new_key(), "ab" * 32)
    assert refusal_of(lambda: enrol(hub.authority, stranger)) is EnrolmentRefusal.TOKEN_UNKNOWN
    assert state(hub) == before
    second = invite(hub.authority, "st-anna", again=True)
    assert refusal_of(lambda: enrol(hub.authority, late)) is EnrolmentRefusal.TOKEN_UNKNOWN
    enrol(hub.authority, asked(second, new_key()))


def test_invitations_are_repeated_only_when_that_is_meant(hub: Consortium) -> None:
    invite(hub.authority, "st-anna")
    with pytest.raises(InputError, match="invited already; with --again"):
        invite(hub.authority, "st-anna")
    for name in ("St-Anna", "", "a" * 64, "-a", "a b", "../a"):
        with pytest.raises(InputError, match="cannot be the name"):
            invite(hub.authority, name)
    for days in (0, 91):
        with pytest.raises(InputError, match="1 to 90"):
            invite(hub.authority, "other", days)


def test_a_site_that_joins_with_another_key_loses_the_first(hub: Consortium) -> None:
    old, new = new_key(), new_key()
    first = identity_of(joined(hub, "st-anna", old).chain[0])
    kit = invite(hub.authority, "st-anna", again=True)
    registry = hub.authority.registry
    assert not registry.is_revoked(first.serial)  # it works on until the new kit is used
    second = identity_of(enrol(hub.authority, asked(kit, new)).chain[0])
    assert registry.is_revoked(first.serial) and not registry.is_revoked(second.serial)
    assert registry.node_key("st-anna") == public_pem(new.public_key())
    third = invite(hub.authority, "st-anna", again=True)
    back = asked(third, old)
    assert refusal_of(lambda: enrol(hub.authority, back)) is EnrolmentRefusal.KEY_RETIRED


def test_no_two_parties_have_one_key(hub: Consortium, tmp_path: Path) -> None:
    key = new_key()
    joined(hub, "site-a", key)
    kit = invite(hub.authority, "site-b")
    same = asked(kit, key)
    assert refusal_of(lambda: enrol(hub.authority, same)) is EnrolmentRefusal.KEY_IN_USE
    own = hub.authority.credentials().key
    as_hub = asked(kit, own)
    assert refusal_of(lambda: enrol(hub.authority, as_hub)) is EnrolmentRefusal.KEY_IN_USE
    admit_operator(hub.authority, "otto", Rank.ADMIN, tmp_path / "otto.pem")
    as_otto = asked(kit, Credentials.load_bundle(tmp_path / "otto.pem").key)
    assert refusal_of(lambda: enrol(hub.authority, as_otto)) is EnrolmentRefusal.KEY_IN_USE


def renewing(hub: Consortium, identity: Identity | None, key: PrivateKey) -> EnrolmentAnswer:
    return renew(hub.authority, identity, EnrolmentRequest.make("whatever", key))


def test_renewal_keeps_name_and_key(hub: Consortium) -> None:
    key = new_key()
    first = identity_of(joined(hub, "st-anna", key).chain[0])
    second = identity_of(renewing(hub, first, key).chain[0])
    assert (second.name, second.public_key) == (first.name, first.public_key)
    assert second.serial != first.serial and second.not_after >= first.not_after
    assert hub.kinds[-1] == "site-renewed"


def test_who_may_not_renew(hub: Consortium) -> None:
    key, other = new_key(), new_key()
    first = identity_of(joined(hub, "st-anna", key).chain[0])
    joined(hub, "other", other)
    hub_identity = hub.authority.credentials().identity
    assert refusal_of(lambda: renewing(hub, None, key)) is EnrolmentRefusal.NO_CERTIFICATE
    assert refusal_of(lambda: renewing(hub, hub_identity, key)) is EnrolmentRefusal.NO_CERTIFICATE
    assert refusal_of(lambda: renewing(hub, first, other)) is EnrolmentRefusal.OTHER_KEY
    assert refusal_of(lambda: renewing(hub, first, new_key())) is EnrolmentRefusal.OTHER_KEY
    revoke_site(hub.authority, "st-anna")
    assert refusal_of(lambda: renewing(hub, first, key)) is EnrolmentRefusal.REVOKED


def test_a_certificate_that_was_never_issued_here_renews_nothing(hub: Consortium) -> None:
    """As who has stolen the issuing key may sign one."""
    key = new_key()
    joined(hub, "st-anna", key)
    life = timedelta(days=14)
    forged = issue_site("st-anna", key.public_key(), hub.authority.issuer(), utc_now(), life)
    identity = identity_of(forged)
    assert refusal_of(lambda: renewing(hub, identity, key)) is EnrolmentRefusal.REVOKED


def test_what_cannot_be_recorded_is_not_done(hub: Consortium) -> None:
    kit, key = invite(hub.authority, "st-anna"), new_key()
    before = state(hub)

    def full(kind: str, fields: object) -> None:
        raise OSError(28, "No space left on device")

    silent = replace(hub.authority, record=full)
    for act in (
        lambda: enrol(silent, asked(kit, key)),
        lambda: invite(silent, "other"),
        lambda: revoke_site(silent, "st-anna"),
    ):
        with pytest.raises(OSError):
            act()
    assert state(hub) == before
    enrol(hub.authority, asked(kit, key))
