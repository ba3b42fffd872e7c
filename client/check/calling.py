"""A call to one address of the coordinator, over TLS, that asks for nothing but its papers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import httpx

from fedvox.common.errors import IdentityError
from fedvox.common.identity.addresses import Address
from fedvox.common.identity.certificates import (
    Identity,
    certificates_of,
    identity_of,
    utc_now,
)
from fedvox.common.identity.names import Role

if TYPE_CHECKING:
    from fedvox.client.check.visit import Visit

_PAPERS = "/v1/enrol/authority"
_MOST_BYTES = 65536


@dataclass(frozen=True)
class Call:
    """What came of it."""

    address: Address
    problem: str = ""
    """Why it is not the coordinator that answers; empty: it is."""
    skew_s: float | None = None
    """This machine's clock less the coordinator's; None: it does not tell the time."""
    coordinator: Identity | None = None
    connected: bool = True
    """Whether anybody was reached, so that TLS could be spoken."""


class _Wrong(Exception):
    """Somebody answers who is not the coordinator."""


def call(visit: Visit, address: Address) -> Call:
    """Calls an address with the site's certificate or, before it has joined, with its kit."""
    try:
        return _called(visit, address)
    except httpx.ProxyError as error:
        return Call(address, f"the proxy refuses: {error}")
    except httpx.TimeoutException as error:
        connected = not isinstance(error, httpx.ConnectTimeout)
        return Call(address, "no answer in time", connected=connected)
    except httpx.ConnectError as error:
        return Call(address, str(error), connected="SSL" in str(error))
    except (httpx.HTTPError, IdentityError, _Wrong) as error:
        return Call(address, str(error) or type(error).__name__)


def _called(visit: Visit, address: Address) -> Call:
    from fedvox.client.joining.dialling import site_http
    from fedvox.common.identity.tls import enrolling_context, site_context

    own = visit.credentials
    context = site_context(own) if own else enrolling_context()
    with (
        site_http(context, visit.proxy) as http,
        http.stream("GET", f"{address.url}{_PAPERS}") as response,
    ):
        identity = _shown(response)
        content = bytearray()
        for chunk in response.iter_raw():
            content += chunk
            if len(content) > _MOST_BYTES:
                raise _Wrong("the answer has no end")
        skew_s = _skew_s(response)
    if response.status_code != 200:
        raise _Wrong(f"what answers is no coordinator (status {response.status_code})")
    if own is None:
        _hold_against_kit(visit, bytes(content))
    return Call(address, skew_s=skew_s, coordinator=identity)


def _shown(response: httpx.Response) -> Identity:
    """Whom the certificate names; the one of a coordinator."""
    stream = response.extensions["network_stream"].get_extra_info("ssl_object")
    identity = identity_of(stream.getpeercert(True) or b"")
    if identity.role is not Role.COORDINATOR:
        raise _Wrong(f"whoever answers is a {identity.role}, not the coordinator")
    return identity


def _hold_against_kit(visit: Visit, content: bytes) -> None:
    import json

    from fedvox.common.identity.enrolment import check_root

    if visit.kit is None:
        raise _Wrong("the site has neither joined nor a kit")
    try:
        pem = str(json.loads(content)["root"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _Wrong("what answers is no coordinator") from None
    check_root(certificates_of(pem.encode(), "the answer")[0], visit.kit.authority)


def _skew_s(response: httpx.Response) -> float | None:
    try:
        there: datetime = parsedate_to_datetime(response.headers["date"])
        return (utc_now() - there).total_seconds()
    except (KeyError, ValueError, TypeError):
        return None
