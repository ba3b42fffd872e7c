"""What a site sends to be enrolled, and what it gets: the same over the network and in a file.

The token of a kit is the private half of a signing key (Ed25519); the coordinator keeps only the
public half, which is the invitation's name. A request is a certificate signing request under the
site's own new key, signed once more with the token. So neither a request that somebody reads on
its way nor the coordinator's database lets anybody else enrol.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import AttributeOID, NameOID

from fedvox.common.errors import IdentityError
from fedvox.common.identity.certificates import (
    ORGANISATION,
    Identity,
    certificates_of,
    identity_of,
    pem_of,
    verify_chain,
)
from fedvox.common.identity.keys import (
    PrivateKey,
    PublicKey,
    checked_public_key,
    fingerprint,
    public_pem,
)
from fedvox.common.identity.names import Role

MOST_BYTES = 65536
"""Of a request or an answer; they have about three thousand."""

_PURPOSE = b"fedvox enrolment 1\n"
_NAME_LETTERS = 64


def new_token() -> str:
    """256 random bits in hexadecimal."""
    return secrets.token_hex(32)


def invitation_of(token: str) -> str:
    """The name of the invitation that a token belongs to; it tells nothing of the token."""
    return _token_key(token).public_key().public_bytes_raw().hex()


def _token_key(token: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(token))


@dataclass(frozen=True)
class EnrolmentRequest:
    """A site's wish to be certified."""

    invitation: str
    """Empty in a renewal, which is asked for by who is certified already."""
    csr: x509.CertificateSigningRequest
    signature: bytes

    @classmethod
    def make(cls, site: str, key: PrivateKey, token: str = "") -> Self:
        """A request under the site's key, signed with the token where there is one."""
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, str(Role.SITE)),
                x509.NameAttribute(NameOID.COMMON_NAME, site),
            ]
        )
        # With a number used once, a copy of an old request is told from a new one of the same key.
        once = secrets.token_hex(16).encode()
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
        builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, once)
        csr = builder.sign(key, hashes.SHA384())
        if not token:
            return cls("", csr, b"")
        signature = _token_key(token).sign(_signed(csr))
        return cls(invitation_of(token), csr, signature)

    @classmethod
    def parse(cls, content: bytes, where: str) -> Self:
        """The request in a body or file; IdentityError where it is none."""
        fields = _object(content, where)
        try:
            csr = x509.load_pem_x509_csr(fields["csr"].encode())
            invitation, signature = fields.get("invitation", ""), fields.get("signature", "")
            if not isinstance(invitation, str) or len(invitation) not in (0, _NAME_LETTERS):
                raise ValueError
            return cls(invitation, csr, bytes.fromhex(signature))
        except (KeyError, ValueError, TypeError, AttributeError):
            raise IdentityError(f"{where}: not a request for enrolment, or a damaged one") from None

    def text(self) -> str:
        """The body or file."""
        csr = self.csr.public_bytes(serialization.Encoding.PEM).decode()
        fields = {"invitation": self.invitation, "csr": csr, "signature": self.signature.hex()}
        return json.dumps(fields, indent=2) + "\n"

    @property
    def digest(self) -> str:
        """Names this very request; no signature of it can be altered so as to change it."""
        return hashlib.sha256(self.csr.tbs_certrequest_bytes).hexdigest()

    def public_key(self) -> PublicKey:
        """The key to be certified; IdentityError unless whoever asks has its private half."""
        try:
            key, proven = checked_public_key(self.csr.public_key()), self.csr.is_signature_valid
        except IdentityError:
            raise
        except Exception:  # several kinds, of a signature or curve that the library does not know
            raise IdentityError("the request's key or signature is of an unknown kind") from None
        if not proven:
            raise IdentityError("the request is not signed by the key that it names")
        return key

    def has_token(self) -> bool:
        """Whether it was signed by who has the token of the invitation it names."""
        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.invitation))
            key.verify(self.signature, _signed(self.csr))
        except (ValueError, InvalidSignature):
            return False
        return True


def _signed(csr: x509.CertificateSigningRequest) -> bytes:
    return _PURPOSE + csr.public_bytes(serialization.Encoding.DER)


@dataclass(frozen=True)
class EnrolmentAnswer:
    """What the authority gives to a site."""

    chain: tuple[x509.Certificate, ...]
    root: x509.Certificate
    coordinator: tuple[x509.Certificate, ...]
    """Its certificate and its issuer's, which need not be the one that issued the site's."""

    @classmethod
    def parse(cls, content: bytes, where: str) -> Self:
        """The answer in a body or file; IdentityError where it is none."""
        fields = _object(content, where)
        try:
            pems = [fields[name].encode() for name in ("chain", "root", "coordinator")]
        except (KeyError, AttributeError):
            raise IdentityError(f"{where}: not the answer to a request for enrolment") from None
        chain, root, coordinator = (certificates_of(pem, where) for pem in pems)
        return cls(tuple(chain), root[0], tuple(coordinator))

    def text(self) -> str:
        """The body or file."""
        parts = {"chain": self.chain, "root": [self.root], "coordinator": self.coordinator}
        return json.dumps({name: pem_of(pems).decode() for name, pems in parts.items()}) + "\n"

    def accepted(self, authority: str, site: str, key: PublicKey, now: datetime) -> Identity:
        """Whom it certifies; IdentityError unless it is this site's, from this authority."""
        check_root(self.root, authority)
        verify_chain(self.chain, self.root, now)
        verify_chain(self.coordinator, self.root, now)
        if identity_of(self.coordinator[0]).role is not Role.COORDINATOR:
            raise IdentityError("the answer does not name the coordinator; ask the operator")
        identity = identity_of(self.chain[0])
        if (identity.role, identity.name) != (Role.SITE, site):
            raise IdentityError(
                f"the certificate is not for {site}: the kit or the answer is another site's"
            )
        if identity.public_key != public_pem(key):
            raise IdentityError("the certificate is not for this site's key; make a new request")
        return identity


def check_root(root: x509.Certificate, authority: str) -> None:
    """Raises IdentityError unless the root has the fingerprint that a kit names."""
    if fingerprint(root) != authority:
        raise IdentityError(
            "whoever answers is not the consortium of this kit: its root has another fingerprint. "
            "Nothing was sent. Somebody may stand between; tell the operator by telephone"
        )
    verify_chain([root], root, root.not_valid_before_utc)


def _object(content: bytes, where: str) -> Mapping[str, Any]:
    try:
        if len(content) > MOST_BYTES:
            raise ValueError
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise IdentityError(f"{where}: cannot be read as JSON") from None
    if not isinstance(found, dict):
        raise IdentityError(f"{where}: cannot be read as JSON")
    return found
