import json
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from papers import Papers, new_papers

from fedvox.common.errors import IdentityError
from fedvox.common.identity.certificates import utc_now
from fedvox.common.identity.enrolment import (
    EnrolmentAnswer,
    EnrolmentRequest,
    check_root,
    invitation_of,
    new_token,
)
from fedvox.common.identity.keys import fingerprint, new_key, private_pem
from fedvox.common.identity.refusals import EnrolmentRefusal, EnrolmentRefused

TOKEN, KEY = new_token(), new_key()


@pytest.fixture(scope="module")
def papers() -> Papers:
    return new_papers()


def test_a_request_is_read_as_it_was_written() -> None:
    request = EnrolmentRequest.make("st-anna", KEY, TOKEN)
    again = EnrolmentRequest.parse(request.text().encode(), "here")
    assert again.has_token() and again.invitation == invitation_of(TOKEN)
    assert fingerprint(again.public_key()) == fingerprint(KEY.public_key())
    assert again.digest == request.digest


def test_it_holds_neither_the_token_nor_the_key() -> None:
    text = EnrolmentRequest.make("st-anna", KEY, TOKEN).text()
    assert TOKEN not in text and TOKEN[:16] not in text and "PRIVATE" not in text
    assert private_pem(KEY).decode().splitlines()[1] not in text


def test_two_requests_of_one_key_can_be_told_apart() -> None:
    one, two = (EnrolmentRequest.make("st-anna", KEY, TOKEN) for _ in range(2))
    assert one.digest != two.digest and one.public_key() == two.public_key()


def test_only_who_has_the_token_can_ask() -> None:
    mine, other = (EnrolmentRequest.make("st-anna", new_key(), TOKEN) for _ in range(2))
    assert not EnrolmentRequest(mine.invitation, mine.csr, other.signature).has_token()
    assert not EnrolmentRequest(mine.invitation, other.csr, mine.signature).has_token()
    assert not EnrolmentRequest(invitation_of(new_token()), mine.csr, mine.signature).has_token()
    assert not EnrolmentRequest.make("st-anna", KEY).has_token()


def test_whoever_asks_must_have_the_key() -> None:
    der = bytearray(EnrolmentRequest.make("a", KEY, TOKEN).csr.public_bytes(Encoding.DER))
    der[-1] ^= 1
    forged = EnrolmentRequest("", x509.load_der_x509_csr(bytes(der)), b"")
    with pytest.raises(IdentityError, match="not signed by the key"):
        forged.public_key()


def test_keys_of_another_kind_are_refused() -> None:
    small = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = EnrolmentRequest("", csr.sign(small, hashes.SHA256()), b"")
    with pytest.raises(IdentityError, match="P-384"):
        request.public_key()


GOOD = json.loads(EnrolmentRequest.make("a", KEY, TOKEN).text())


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b"\xff", b"[" * 60000, b"{}", b"x" * 70000,
        json.dumps({**GOOD, "csr": "no"}).encode(),
        json.dumps({**GOOD, "csr": None}).encode(),
        json.dumps({**GOOD, "invitation": 7}).encode(),
        json.dumps({**GOOD, "invitation": "ab"}).encode(),
        json.dumps({**GOOD, "signature": "zz"}).encode(),
        json.dumps({**GOOD, "signature": []}).encode(),
    ],
)  # fmt: skip
def test_what_is_no_request(content: bytes) -> None:
    with pytest.raises(IdentityError, match="here"):
        EnrolmentRequest.parse(content, "here")


def test_an_invitation_that_is_no_key_proves_nothing() -> None:
    request = EnrolmentRequest.parse(json.dumps({**GOOD, "invitation": "z" * 64}).encode(), "here")
    assert not request.has_token()


def test_every_byte_of_a_request_counts() -> None:
    raw = EnrolmentRequest.make("a", KEY, TOKEN).csr.public_bytes(Encoding.DER)
    signature = EnrolmentRequest.make("a", KEY, TOKEN).signature
    for at in range(0, len(raw), 7):
        changed = bytearray(raw)
        changed[at] ^= 1
        try:
            csr = x509.load_der_x509_csr(bytes(changed))
        except ValueError:
            continue
        assert not EnrolmentRequest(invitation_of(TOKEN), csr, signature).has_token()


def answer_of(papers: Papers, folder: Path, name: str = "st-anna") -> EnrolmentAnswer:
    site, hub = papers.site(folder / name, name, key=KEY), papers.coordinator(folder / "hub")
    chain = (site.certificate, papers.issuing.certificate)
    return EnrolmentAnswer(chain, papers.root.certificate, hub.chain)


def test_an_answer_is_accepted_by_whom_it_is_for(tmp_path: Path, papers: Papers) -> None:
    answer = EnrolmentAnswer.parse(answer_of(papers, tmp_path).text().encode(), "here")
    authority = fingerprint(papers.root.certificate)
    identity = answer.accepted(authority, "st-anna", KEY.public_key(), utc_now())
    assert identity.name == "st-anna"
    check_root(answer.root, authority)
    for wrong, told in (
        (("ab" * 32, "st-anna", KEY.public_key(), utc_now()), "not the consortium of this kit"),
        ((authority, "other", KEY.public_key(), utc_now()), "another site's"),
        ((authority, "st-anna", new_key().public_key(), utc_now()), "not for this site's key"),
        ((authority, "st-anna", KEY.public_key(), utc_now() + timedelta(days=20)), "clock"),
    ):
        with pytest.raises(IdentityError, match=told):
            answer.accepted(*wrong)


def test_an_answer_with_parts_of_others_is_refused(tmp_path: Path, papers: Papers) -> None:
    good, other = answer_of(papers, tmp_path / "a"), answer_of(new_papers(), tmp_path / "b")
    authority = fingerprint(papers.root.certificate)
    for wrong in (
        EnrolmentAnswer(other.chain, good.root, good.coordinator),
        EnrolmentAnswer(good.chain, good.root, other.coordinator),
        EnrolmentAnswer(good.chain, good.root, good.chain),  # a site is no coordinator
        EnrolmentAnswer(good.coordinator, good.root, good.coordinator),
        EnrolmentAnswer(good.chain[:1], good.root, good.coordinator),
    ):
        with pytest.raises(IdentityError):
            wrong.accepted(authority, "st-anna", KEY.public_key(), utc_now())


@pytest.mark.parametrize("content", [b"", b"{}", b'{"chain": 1}', b'{"chain": "x"}'])
def test_what_is_no_answer(content: bytes) -> None:
    with pytest.raises(IdentityError, match="here"):
        EnrolmentAnswer.parse(content, "here")


def test_every_refusal_has_its_sentence_and_no_more() -> None:
    for refusal in EnrolmentRefusal:
        assert str(EnrolmentRefused(refusal)) == refusal.sentence
        assert "/" not in refusal.sentence and len(refusal.sentence) < 100
