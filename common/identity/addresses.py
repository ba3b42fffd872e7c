"""Where a coordinator is reached: host:port."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from fedvox.common.errors import IdentityError

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_MOST_LETTERS = 253


@dataclass(frozen=True)
class Address:
    """A host name or IP address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The beginning of every URL at this address."""
        return f"https://{self}"

    @property
    def is_loopback(self) -> bool:
        """Whether it can be reached from this machine only."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_address(text: str) -> Address:
    """The address written as host:port, with an IPv6 host in square brackets."""
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]") and ":" in host:
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not _is_host(host) or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise IdentityError(
            f"{text!r} is no address: write host:port, as in fl.example.org:8443, 192.0.2.7:8443 "
            "or [2001:db8::7]:8443"
        )
    return Address(host, int(port))


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        labels = host.split(".")
        return len(host) <= _MOST_LETTERS and all(_LABEL.fullmatch(label) for label in labels)
    return "%" not in host  # a zone is of this machine only
