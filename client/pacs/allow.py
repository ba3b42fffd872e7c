"""Who may send: AE titles, each from anywhere or from one host or network."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from fedvox.common.errors import InputError

_TITLE = re.compile(r"[!-\[\]-~](?:[ -\[\]-~]{0,14}[!-\[\]-~])?")
"""Printable, at most 16, no backslash (PS3.5, AE)."""
_ANY = "*"


@dataclass(frozen=True)
class Allowed:
    """One entry of the list."""

    title: str
    """An AE title, or * for any."""
    host: str = ""
    """A name, an address or a network such as 10.1.0.0/16; empty: from anywhere."""

    @classmethod
    def of(cls, text: str) -> Self:
        """From AE[@HOST]; InputError where it is neither."""
        title, _, host = text.partition("@")
        if title != _ANY:
            checked_title(title)
        if "@" in text and not host:
            raise InputError(f"--allow {text}: the host is missing; give AE@HOST, or AE alone")
        if "/" in host and _network(host) is None:
            raise InputError(f"--allow {text}: {host} is no network; give one like 10.1.0.0/16")
        return cls(title, host)

    def fits(self, title: str, address: str) -> bool:
        """Whether an AE title at an address is meant."""
        return self.title in (_ANY, title) and (not self.host or _is_at(address, self.host))


@dataclass(frozen=True)
class AllowList:
    """Everybody who may send."""

    entries: tuple[Allowed, ...]

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """From what was given on the command line."""
        return cls(tuple(map(Allowed.of, texts)))

    def fits(self, title: str, address: str) -> bool:
        """Whether an AE title at an address may send."""
        return any(entry.fits(title, address) for entry in self.entries)


LOOPBACK = AllowList((Allowed(_ANY, "127.0.0.0/8"), Allowed(_ANY, "::1/128")))
"""This machine alone."""
ANYBODY = AllowList((Allowed(_ANY),))
"""Whoever can connect; for listeners that ask for a certificate."""


def checked_title(title: str) -> str:
    """An AE title; InputError where it is none."""
    if not _TITLE.fullmatch(title):
        raise InputError(
            f"{title!r} is no AE title: 1 to 16 printable characters, no backslash, no blank at "
            "either end"
        )
    return title


def plain_address(address: str) -> str:
    """The address without scope; an IPv4 address that came in an IPv6 one as itself."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def _is_at(address: str, host: str) -> bool:
    own = ipaddress.ip_address(plain_address(address))
    network = _network(host)
    if network is not None:
        return own.version == network.version and own in network
    return str(own) in _addresses(host)


def _network(host: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(host, strict=False)
    except ValueError:
        return None


def _addresses(name: str) -> set[str]:
    """Asked for anew each time: a PACS may move while a listener runs."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {plain_address(str(entry[4][0])) for entry in found}
