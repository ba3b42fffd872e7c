"""Network namespaces for the parties of a consortium: each with its own address, none with a way
out of the bridge between them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

PREFIX = "fv"
NET = "10.77.0"


def can_be_made() -> bool:
    """Whether this account may make namespaces."""
    if os.geteuid() != 0:
        return False
    made = subprocess.run(
        ["ip", "netns", "add", f"{PREFIX}-probe"], capture_output=True, check=False
    )
    subprocess.run(["ip", "netns", "del", f"{PREFIX}-probe"], capture_output=True, check=False)
    return made.returncode == 0


@contextmanager
def bridged(parties: Sequence[str]) -> Iterator[dict[str, str]]:
    """A namespace for each party; their addresses. The bridge is in a namespace of its own too,
    which everything goes to that is for nobody in the consortium."""
    names = [f"{PREFIX}-bridge", *(f"{PREFIX}-{party}" for party in parties)]
    try:
        for name in names:
            _ip("netns", "add", name)
            _in(name, "link", "set", "lo", "up")
        _in(names[0], "link", "add", "br0", "type", "bridge")
        _in(names[0], "link", "set", "br0", "up")
        _in(names[0], "addr", "add", f"{NET}.254/24", "dev", "br0")
        addresses = {}
        for number, party in enumerate(parties, 1):
            addresses[party] = f"{NET}.{number}"
            _join(names[0], f"{PREFIX}-{party}", number)
        yield addresses
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def inside(party: str) -> tuple[str, ...]:
    """The words before a command that is to run in the party's namespace."""
    return ("ip", "netns", "exec", f"{PREFIX}-{party}")


def set_link(number: int, state: str) -> None:
    """Takes the line of the party with this number up or down."""
    _in(f"{PREFIX}-bridge", "link", "set", f"p{number}", state)


def _join(bridge: str, name: str, number: int) -> None:
    _in(bridge, "link", "add", f"p{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
    _in(bridge, "link", "set", f"p{number}", "master", "br0")
    _in(bridge, "link", "set", f"p{number}", "up")
    _in(name, "addr", "add", f"{NET}.{number}/24", "dev", "eth0")
    _in(name, "link", "set", "eth0", "up")
    _in(name, "route", "add", "default", "via", f"{NET}.254")


def strayed() -> int:
    """Packets that a party sent to anywhere but another party: they end here, and are counted."""
    words = ["ip", "netns", "exec", f"{PREFIX}-bridge", "cat", "/proc/net/snmp"]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    names, values = (line.split() for line in told.splitlines() if line.startswith("Ip:"))
    return int(dict(zip(names, values, strict=True))["InAddrErrors"])


def _in(name: str, *words: str) -> None:
    _ip("-n", name, *words)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
