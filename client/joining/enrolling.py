"""Enrolling over the network: first the consortium's root, held against the kit, then the request.

The first connection can verify nobody, so nothing is sent through it. The root that it brings must
have the fingerprint of the kit; every connection after it is verified by that root.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import httpx
from cryptography import x509

from fedvox.client.joining.dialling import Answer, Proxy, Unanswered, ask, site_http
from fedvox.common.errors import IdentityError, UnreachableError
from fedvox.common.identity.addresses import Address
from fedvox.common.identity.certificates import certificates_of
from fedvox.common.identity.credentials import Credentials
from fedvox.common.identity.enrolment import EnrolmentAnswer, EnrolmentRequest, check_root
from fedvox.common.identity.keys import PrivateKey
from fedvox.common.identity.kit import Kit
from fedvox.common.identity.refusals import EnrolmentRefusal, EnrolmentRefused
from fedvox.common.identity.tls import enrolling_context, joining_context, site_context

_ACCEPTED = 200


def enrol(kit: Kit, key: PrivateKey, proxy: Proxy) -> EnrolmentAnswer:
    """The answer of the first address at which the kit's consortium is found."""

    def at(address: Address) -> EnrolmentAnswer:
        root = _root(address, kit.authority, proxy)
        # A new one for each address: the one before may have been answered, and the answer lost.
        request = EnrolmentRequest.make(kit.site, key, kit.token)
        with site_http(joining_context(root), proxy) as http:
            return _asked(http, f"{address.url}/v1/enrol", request)

    return _first(kit.addresses, at)


def renew(credentials: Credentials, addresses: Sequence[Address], proxy: Proxy) -> EnrolmentAnswer:
    """The next certificate, over a connection that this one opens."""

    def at(address: Address) -> EnrolmentAnswer:
        request = EnrolmentRequest.make(credentials.identity.name, credentials.key)
        with site_http(site_context(credentials), proxy) as http:
            return _asked(http, f"{address.url}/v1/enrol/renew", request)

    return _first(addresses, at)


def _first(
    addresses: Sequence[Address], at: Callable[[Address], EnrolmentAnswer]
) -> EnrolmentAnswer:
    said = []
    for address in addresses:
        try:
            return at(address)
        except Unanswered as error:
            said.append(f"{address}: {error}")
    raise UnreachableError(
        f"the coordinator cannot be reached ({'; '.join(said)}). Ask whether it runs, whether the "
        "firewall lets this machine out to it, and whether a proxy must be named with --proxy"
    )


def _root(address: Address, authority: str, proxy: Proxy) -> x509.Certificate:
    """The root that an address shows; Unanswered unless it is the one of the kit."""
    with site_http(enrolling_context(), proxy) as http:
        answer = ask(http, "GET", f"{address.url}/v1/enrol/authority")
    pem = answer.fields().get("root")
    if answer.status != _ACCEPTED or not isinstance(pem, str):
        raise Unanswered(f"what answers there is no coordinator (status {answer.status})")
    try:
        root = certificates_of(pem.encode(), str(address))[0]
        check_root(root, authority)
    except IdentityError as error:
        raise Unanswered(str(error)) from None
    return root


def _asked(http: httpx.Client, url: str, request: EnrolmentRequest) -> EnrolmentAnswer:
    answer = ask(http, "POST", url, request.text().encode())
    if answer.status == _ACCEPTED:
        return EnrolmentAnswer.parse(answer.content, "the coordinator's answer")
    refusal = _refusal(answer)
    if refusal is None or refusal is EnrolmentRefusal.FAILED:
        raise Unanswered(f"the coordinator failed (status {answer.status})")
    raise EnrolmentRefused(refusal)


def _refusal(answer: Answer) -> EnrolmentRefusal | None:
    """The refusal by its code; the sentence is ours, whatever the answer says."""
    try:
        return EnrolmentRefusal(str(answer.fields().get("code")))
    except ValueError:
        return None
