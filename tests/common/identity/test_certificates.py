import subprocess
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from papers import Papers, new_papers

from fedvox.common.errors import IdentityError
from fedvox.common.identity.certificates import (
    certificates_of,
    identity_of,
    pem_of,
    utc_now,
    verify_chain,
)
from fedvox.common.identity.issuing import Issuer, issue_operator, issue_site, new_issuing
from fedvox.common.identity.keys import new_key, public_pem
from fedvox.common.identity.names import Rank, Role

ORG, UNIT, NAME, RANK = (
    NameOID.ORGANIZATION_NAME,
    NameOID.ORGANIZATIONAL_UNIT_NAME,
    NameOID.COMMON_NAME,
    NameOID.TITLE,
)
KEY = new_key()


@pytest.fixture(scope="module")
def papers() -> Papers:
    return new_papers()


def openssl_says(folder: Path, papers: Papers, leaf: x509.Certificate, purpose: str) -> str:
    files = {"root": papers.root.certificate, "between": papers.issuing.certificate, "leaf": leaf}
    for name, certificate in files.items():
        (folder / name).write_bytes(pem_of([certificate]))
    command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", "root",
               "-untrusted", "between", "leaf"]  # fmt: skip
    return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout


def test_openssl_takes_each_role_for_its_own_purpose_only(tmp_path: Path, papers: Papers) -> None:
    site = papers.site(tmp_path / "s").certificate
    coordinator = papers.coordinator(tmp_path / "c").certificate
    operator = papers.operator(tmp_path / "o").certificate
    for leaf, client, server in (
        (site, True, False), (operator, True, False), (coordinator, False, True),
    ):  # fmt: skip
        assert ("leaf: OK" in openssl_says(tmp_path, papers, leaf, "sslclient")) == client
        assert ("leaf: OK" in openssl_says(tmp_path, papers, leaf, "sslserver")) == server


def test_nobody_but_the_authority_can_sign(tmp_path: Path, papers: Papers) -> None:
    site = papers.site(tmp_path / "s")
    forged = issue_site(
        "evil", KEY.public_key(), Issuer(site.certificate, site.key), utc_now(), timedelta(days=1)
    )
    chain = [forged, site.certificate, papers.issuing.certificate]
    with pytest.raises(IdentityError, match="does not come from the consortium's root"):
        verify_chain(chain, papers.root.certificate, utc_now())
    # Nor may the issuing authority make another authority.
    below = new_issuing("below", KEY.public_key(), papers.issuing, utc_now())
    leaf = issue_site("evil", KEY.public_key(), Issuer(below, KEY), utc_now(), timedelta(days=1))
    (tmp_path / "more").write_bytes(pem_of([papers.issuing.certificate, below]))
    (tmp_path / "root").write_bytes(pem_of([papers.root.certificate]))
    (tmp_path / "leaf").write_bytes(pem_of([leaf]))
    command = ["openssl", "verify", "-CAfile", "root", "-untrusted", "more", "leaf"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "path length constraint exceeded" in done.stderr


def test_identities(tmp_path: Path, papers: Papers) -> None:
    own = papers.site(tmp_path / "s")
    identity = own.identity
    assert (identity.role, identity.name, identity.rank) == (Role.SITE, "st-anna", None)
    assert identity.public_key == public_pem(own.key.public_key())
    assert int(identity.serial, 16) == own.certificate.serial_number
    assert identity == identity_of(own.certificate.public_bytes(Encoding.DER))
    assert timedelta(days=13) < identity.not_after - utc_now() < timedelta(days=14)
    for rank in Rank:
        operator = papers.operator(tmp_path / rank, rank).identity
        assert (operator.role, operator.name, operator.rank) == (Role.OPERATOR, "otto", rank)


def test_ranks_cover_those_below() -> None:
    covered = {(a, b) for a in Rank for b in Rank if a.covers(b)}
    viewer, operator, admin = Rank
    below = {(admin, operator), (admin, viewer), (operator, viewer)}
    assert covered == below | {(rank, rank) for rank in Rank}


def made(
    subject: Sequence[tuple[ObjectIdentifier, str]],
    use: ObjectIdentifier | None = ExtendedKeyUsageOID.CLIENT_AUTH,
    ca: bool | None = False,
    curve: ec.EllipticCurve | None = None,
    more_use: Sequence[ObjectIdentifier] = (),
) -> x509.Certificate:
    """A certificate of the tests' own making."""
    key = ec.generate_private_key(curve or ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in subject])
    now = utc_now()
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    if use is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([use, *more_use]), critical=True)
    return builder.sign(key, hashes.SHA384())


SITE = [(ORG, "fedvox"), (UNIT, "site"), (NAME, "a")]
SERVER = ExtendedKeyUsageOID.SERVER_AUTH


def test_the_tests_own_making_would_be_accepted() -> None:
    assert identity_of(made(SITE)).name == "a"
    assert (
        identity_of(made([(ORG, "fedvox"), (UNIT, "coordinator"), (NAME, "a")], SERVER)).rank
        is None
    )


@pytest.mark.parametrize(
    "certificate",
    [
        made([(ORG, "other"), *SITE[1:]]),
        made(SITE[1:]),
        made(SITE[:2]),
        made([SITE[0], SITE[2]]),
        made([*SITE, (NAME, "b")]),
        made([*SITE, (UNIT, "operator")]),
        made([*SITE, (NameOID.LOCALITY_NAME, "x")]),
        made([*SITE, (RANK, "admin")]),
        made([SITE[0], (UNIT, "root"), SITE[2]]),
        made([SITE[0], (UNIT, "client"), SITE[2]]),
        made([*SITE[:2], (NAME, "A")]),
        made([*SITE[:2], (NAME, "a\n")]),
        made([*SITE[:2], (NAME, "-a")]),
        made([*SITE[:2], (NAME, "../a")]),
        made([SITE[0], (UNIT, "operator"), SITE[2]]),
        made([SITE[0], (UNIT, "operator"), SITE[2], (RANK, "root")]),
        made(SITE, SERVER),
        made(SITE, None),
        made(SITE, more_use=[SERVER]),
        made(SITE, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE),
        made(SITE, ca=True),
        made(SITE, ca=None),
        made(SITE, curve=ec.SECP256R1()),
    ],
)
def test_anything_else_is_nobodys(certificate: x509.Certificate) -> None:
    with pytest.raises(IdentityError):
        identity_of(certificate)


@pytest.mark.parametrize("der", [b"", b"x", b"0\x82\xff\xff"])
def test_what_is_no_certificate(der: bytes) -> None:
    with pytest.raises(IdentityError, match="no certificate"):
        identity_of(der)
    with pytest.raises(IdentityError, match="here: holds no certificate"):
        certificates_of(der, "here")


def test_authorities_are_nobody(papers: Papers) -> None:
    for one in (papers.root, papers.issuing):
        with pytest.raises(IdentityError):
            identity_of(one.certificate)


def test_chains(tmp_path: Path, papers: Papers) -> None:
    now, root, between = utc_now(), papers.root.certificate, papers.issuing.certificate
    leaf = papers.site(tmp_path / "s").certificate
    verify_chain([leaf, between], root, now)
    verify_chain([leaf, between], root, now - timedelta(minutes=30))  # a clock that is behind
    other = new_papers()
    for chain, top in (
        ([leaf, between], other.root.certificate), ([leaf], root), ([between, leaf], root),
        ([leaf, other.issuing.certificate], root), ([], root),
    ):  # fmt: skip
        with pytest.raises(IdentityError, match="does not come from"):
            verify_chain(chain, top, now)
    for when in (now + timedelta(days=14, seconds=1), now - timedelta(hours=2)):
        with pytest.raises(IdentityError, match="not valid at this time"):
            verify_chain([leaf, between], root, when)


def test_no_certificate_outlives_its_issuer(papers: Papers) -> None:
    late = papers.issuing.certificate.not_valid_after_utc - timedelta(days=3)
    for made_late in (
        issue_site("a", KEY.public_key(), papers.issuing, late, timedelta(days=14)),
        issue_operator("a", Rank.VIEWER, KEY.public_key(), papers.issuing, late),
    ):
        assert made_late.not_valid_after_utc == papers.issuing.certificate.not_valid_after_utc


def test_a_name_of_63_letters_is_still_a_certificate() -> None:
    papers = new_papers("c" * 63)
    site = issue_site("s" * 63, KEY.public_key(), papers.issuing, utc_now(), timedelta(days=1))
    assert identity_of(site).name == "s" * 63
