"""How the link dials the coordinator, and what it lets it answer."""

from __future__ import annotations

import json

import httpx

from fedvox.client.joining.dialling import ANSWER_TIMEOUT_S, CONNECT_TIMEOUT_S, Proxy
from fedvox.common.errors import FedvoxError, IdentityError
from fedvox.common.identity.certificates import identity_of
from fedvox.common.identity.credentials import Credentials
from fedvox.common.identity.keys import PublicKey, public_key_of
from fedvox.common.identity.names import Role
from fedvox.common.identity.tls import site_context

MOST_BYTES = 8 << 20
"""Of an answer; the coordinator cuts what is longer."""
_KEPT_S = 60.0
_MOST_CODE = 64


class Unreachable(FedvoxError):
    """The coordinator does not answer; asking again later is safe."""


class Refused(FedvoxError):
    """The coordinator has answered, and will not do what it was asked for."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"the coordinator refuses: {code} ({status})")
        self.status = status
        self.code = code

    @property
    def is_over(self) -> bool:
        """Whether it says that a run or message is not there (any more)."""
        return self.status in (404, 409, 412) or self.code.startswith(("flower-", "run"))


class Line:
    """HTTP to the coordinator with the site's certificate, through the hospital's proxy if any."""

    def __init__(self, own: Credentials, proxy: Proxy) -> None:
        self.own = own
        self.coordinator: PublicKey | None = None
        """The key in the certificate that the coordinator has shown."""
        self.http = httpx.Client(
            verify=site_context(own),
            proxy=proxy.for_http(),
            trust_env=False,
            follow_redirects=False,
            headers={"accept-encoding": "identity"},
            timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=6, keepalive_expiry=_KEPT_S),
            event_hooks={"response": [self._look_at]},
        )

    def close(self) -> None:
        """Hangs up."""
        self.http.close()

    def _look_at(self, response: httpx.Response) -> None:
        """Before an answer is read: who gives it, and how long it is."""
        length = response.headers.get("content-length", "")
        coded = response.headers.get("content-encoding", "identity") != "identity"
        if coded or not length.isdigit() or int(length) > MOST_BYTES:
            raise httpx.RemoteProtocolError("an answer that is coded, endless or too long")
        if self.coordinator is None:
            self.coordinator = _coordinator_of(response)


def _coordinator_of(response: httpx.Response) -> PublicKey | None:
    stream = response.extensions.get("network_stream")
    tls = stream.get_extra_info("ssl_object") if stream is not None else None
    shown = tls.getpeercert(True) if tls is not None else None
    try:
        identity = identity_of(shown or b"")
    except IdentityError:
        identity = None
    if identity is None or identity.role is not Role.COORDINATOR:
        raise httpx.RemoteProtocolError("whoever answers is not the coordinator")
    return public_key_of(identity.public_key)


def code_of(response: httpx.Response) -> str:
    """Why a call was refused, as the coordinator's gate says it."""
    try:
        return str(json.loads(response.content)["code"])[:_MOST_CODE]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "unknown"
