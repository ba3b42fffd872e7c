"""Who may ask the coordinator for what: every request is signed by an operator's own key.

The header names time and a number used once; the signature covers them, the method, the path and
the body. Operators have ranks: a viewer looks, an operator conducts studies, an admin may do all.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography import x509

from fedvox.common.errors import IdentityError
from fedvox.common.identity.certificates import (
    Identity,
    certificates_of,
    identity_of,
    pem_of,
    utc_now,
    verify_chain,
)
from fedvox.common.identity.credentials import Credentials
from fedvox.common.identity.keys import public_key_of, sign, verify
from fedvox.common.identity.names import Rank, Role

HEADER = "fedvox-operator"
WINDOW_S = 300.0


class Forbidden(Exception):
    """A request that is not answered; the text may be told to who asked."""


def header_for(own: Credentials, method: str, path: str, body: bytes) -> str:
    """The value of the header for a request."""
    told = {"at": time.time(), "once": secrets.token_hex(16)}
    signature = sign(own.key, _covered(told, method, path, body))
    chain = certificates_of(own.chain_file.read_bytes(), str(own.chain_file))
    told["signature"] = base64.b64encode(signature).decode()
    told["chain"] = pem_of([one for one in chain if one != own.root]).decode()
    return base64.b64encode(json.dumps(told).encode()).decode()


@dataclass
class Doorman:
    """Lets in whoever the consortium knows as an operator of a sufficient rank."""

    root: x509.Certificate
    rank_of: Callable[[str], Rank | None]
    is_revoked: Callable[[str], bool]
    _seen: dict[str, float] = field(default_factory=dict)

    def admit(self, header: str, method: str, path: str, body: bytes, least: Rank) -> Identity:
        """Who asks; Forbidden where that is not known, or is too little."""
        told, signature, chain = _parsed(header)
        try:
            verify_chain(chain, self.root, utc_now())
            identity = identity_of(chain[0])
        except IdentityError as error:
            raise Forbidden(str(error)) from None
        key = public_key_of(identity.public_key)
        if identity.role is not Role.OPERATOR or not verify(
            key, _covered(told, method, path, body), signature
        ):
            raise Forbidden("the request is not signed by an operator")
        self._require_fresh(told)
        rank = self.rank_of(identity.name)
        if rank is None or self.is_revoked(identity.serial):
            raise Forbidden("this operator is not, or no longer, one of the consortium's")
        if not rank.covers(least):
            raise Forbidden(f"this takes an operator of rank {least}; {identity.name} is {rank}")
        return identity

    def _require_fresh(self, told: dict[str, object]) -> None:
        now, at, once = time.time(), told["at"], str(told["once"])
        if not isinstance(at, float | int) or abs(now - at) > WINDOW_S:
            raise Forbidden("the request is too old, or a clock is wrong by minutes")
        self._seen = {key: seen for key, seen in self._seen.items() if now - seen <= 2 * WINDOW_S}
        if once in self._seen:
            raise Forbidden("the request was made before")
        self._seen[once] = now


def _covered(told: dict[str, object], method: str, path: str, body: bytes) -> bytes:
    digest = hashlib.sha256(body).hexdigest()
    return json.dumps([method, path, digest, told["at"], told["once"]]).encode()


def _parsed(header: str) -> tuple[dict[str, object], bytes, list[x509.Certificate]]:
    try:
        told = json.loads(base64.b64decode(header, validate=True))
        signature = base64.b64decode(told["signature"], validate=True)
        chain = certificates_of(str(told["chain"]).encode(), "the header")
        return {"at": told["at"], "once": told["once"]}, signature, chain
    except (ValueError, KeyError, TypeError, IdentityError):
        raise Forbidden("the request is not signed by an operator") from None
