"""The way to the coordinator: names, connections, TLS, certificate, proxy, clock."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

from fedvox.client.check.finding import Check, Finding, Level, Look, green, red, yellow
from fedvox.client.check.visit import Visit
from fedvox.client.policy.link_state import link_of
from fedvox.common.identity.addresses import Address
from fedvox.common.identity.certificates import utc_now

_CONNECT_S = 5.0
_LARGE_SKEW_S, _SMALL_SKEW_S = 300.0, 30.0
_LITTLE_LIFE = 0.25
"""Share of a certificate's life that is left when somebody should look: it renews at a half."""
_PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def _joined(visit: Visit) -> Finding:
    settings, kit = visit.settings, visit.kit
    if settings is None and kit is None:
        remedy = "`fedvox site join KIT` with the kit that the operator sent, or check --kit KIT"
        return yellow("has not joined a consortium; the network was not looked at", remedy, "no")
    if settings is None and kit is not None:
        kit.require_unexpired(utc_now())
        remedy = "`fedvox site join KIT`"
        return yellow(f"has not joined; the kit of {kit.site} can be used", remedy, "kit only")
    return green(f"{settings.site} of {settings.consortium}" if settings else "", "yes")


def _proxy(visit: Visit) -> Finding | None:
    if not visit.addresses:
        return None
    if visit.proxy.url:
        visit.proxy.require_usable()
        return green("dials out through the proxy of site.toml", "through a proxy")
    if any(os.environ.get(name) for name in _PROXIES):
        remedy = "if the machine has no other way out: `fedvox site join KIT --proxy URL`"
        text = "the environment names a proxy, which fedvox does not take without being told"
        return yellow(text, remedy, "a proxy in the environment is not used")
    return green("dials out straight", "straight")


def _dialled(visit: Visit) -> list[Address]:
    """Whom this machine itself connects to: the proxy, or each address."""
    if not visit.proxy.url:
        return list(visit.addresses)
    import httpx

    url = httpx.URL(visit.proxy.url)
    return [Address(url.host, url.port or (443 if url.scheme == "https" else 80))]


def _names(visit: Visit) -> Finding | None:
    if not visit.addresses:
        return None
    dead = [target for target in _dialled(visit) if not _resolves(target)]
    remedy = "ask the network's people: the name must resolve here, or name another address"
    return _of_all(dead, _dialled(visit), "resolve", "do not resolve", remedy)


def _resolves(target: Address) -> bool:
    try:
        return bool(socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM))
    except OSError:
        return False


def _tcp(visit: Visit) -> Finding | None:
    if not visit.addresses:
        return None
    dead = [target for target in _dialled(visit) if not _connects(target)]
    remedy = "let this machine out to it on TCP (firewall), or ask whether the coordinator runs"
    return _of_all(dead, _dialled(visit), "take a connection", "take no connection", remedy)


def _connects(target: Address) -> bool:
    try:
        with socket.create_connection((target.host, target.port), _CONNECT_S):
            return True
    except OSError:
        return False


def _of_all(
    dead: list[Address], everyone: list[Address], does: str, does_not: str, remedy: str
) -> Finding:
    """One of several is enough; none is not."""
    shared = f"{len(everyone) - len(dead)} of {len(everyone)}"
    if not dead:
        return green(f"{', '.join(map(str, everyone))}: {does}", shared)
    text = f"{', '.join(map(str, dead))}: {does_not}"
    make = red if len(dead) == len(everyone) else yellow
    return make(text, remedy, shared)


def _tls(visit: Visit) -> Finding | None:
    if not visit.addresses:
        return None
    wrong = [call for call in visit.calls if call.problem]
    how = "with this site's certificate" if visit.credentials else "against the kit's fingerprint"
    shared = f"{len(visit.calls) - len(wrong)} of {len(visit.calls)}"
    if not wrong:
        return green(f"TLS 1.3 to the coordinator, {how}", shared)
    text = "; ".join(f"{call.address}: {call.problem}" for call in wrong)
    remedy = (
        "if something between opens TLS, have this connection left alone; if the certificate is "
        "refused, ask the operator"
    )
    if not any(call.connected for call in wrong):
        remedy = "nobody was reached: see network.names and network.tcp first"
    make = red if len(wrong) == len(visit.calls) else yellow
    return make(text, remedy, shared)


def _certificate(visit: Visit) -> Finding | None:
    own = visit.credentials
    if own is None:
        return None
    identity, now = own.identity, utc_now()
    left = identity.not_after - now
    told = f"the certificate ends on {identity.not_after:%Y-%m-%d %H:%M} UTC"
    if left <= timedelta():
        remedy = "ask the operator for a new kit and join with it; the key stays"
        return red(told, remedy, "has ended")
    shared = f"{left / timedelta(days=1):.0f} days left"
    if left < _LITTLE_LIFE * (identity.not_after - identity.not_before):
        remedy = "start the site: it renews by itself while it reaches the coordinator"
        return yellow(told, remedy, shared)
    return green(told, shared)


def _clock(visit: Visit) -> Finding | None:
    if not visit.addresses:
        return None
    remedy = "set this machine's clock by NTP"
    skews = [call.skew_s for call in visit.calls if call.skew_s is not None]
    if skews:
        skew_s = min(skews, key=abs)
        told = f"{skew_s:+.0f} s against the coordinator's clock"
        if abs(skew_s) > _LARGE_SKEW_S:
            return red(told, remedy, told)
        return (yellow(told, remedy, told)) if abs(skew_s) > _SMALL_SKEW_S else green(told, told)
    return _by_certificates(visit, remedy)


def _by_certificates(visit: Visit, remedy: str) -> Finding | None:
    """Where the coordinator does not tell the time: certificates say when it cannot be yet."""
    known = [call.coordinator for call in visit.calls if call.coordinator]
    if visit.credentials is not None:
        known.append(visit.credentials.identity)
    if not known:
        return None
    now, begun = utc_now(), max(identity.not_before for identity in known)
    if now < begun:
        return red("this machine's clock is before the certificates' time", remedy, "behind")
    return green("within the certificates' time; the coordinator does not tell its own", "fits")


def _or_linked(look: Look) -> Look:
    """An account that may not dial out, as the trainer's, has the link's word for the way."""

    def looked(visit: Visit) -> Finding | None:
        found, link = look(visit), link_of(visit.home)
        if found is None or found.level is not Level.RED or not link.is_running:
            return found
        if not link.connected:
            return found
        told = f"not from this account, but the link is connected, since {link.since}"
        return green(told, "by the link")

    return looked


CHECKS = (
    Check("network.joined", _joined),
    Check("network.proxy", _proxy),
    Check("network.names", _or_linked(_names)),
    Check("network.tcp", _or_linked(_tcp)),
    Check("network.tls", _or_linked(_tls)),
    Check("network.certificate", _certificate),
    Check("network.clock", _clock),
)
