"""The trainer has no network: what it closes itself, and the proof it asks the system for.

`leave_network` takes away what Python code in this process would use. That is a habit, no wall:
compiled code does not ask Python. The wall is the system's (a network namespace of its own, as with
PrivateNetwork= of systemd), and `require_no_network` refuses to start where that is missing.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import sys
from pathlib import Path
from typing import Any

from fedvox.common.errors import FedvoxError

_OUTSIDE = (
    (socket.AF_INET, "192.0.2.1"),  # reserved for documents: nobody answers there
    (socket.AF_INET, "10.255.255.254"),
    (socket.AF_INET, "172.31.255.254"),
    (socket.AF_INET, "192.168.255.254"),
    (socket.AF_INET, "169.254.169.254"),
    (socket.AF_INET6, "2001:db8::1"),
    (socket.AF_INET6, "fd00::1"),
)
_NO_WAY = frozenset(
    {
        errno.ENETUNREACH,
        errno.EPERM,
        errno.EACCES,
        errno.EAFNOSUPPORT,  # the system gives out no such sockets at all
        errno.EADDRNOTAVAIL,  # there is no address that one could come from
    }
)
_PORT = 9
_CALLS = frozenset({"socket.connect", "socket.sendto", "socket.bind"})


class NetworkError(FedvoxError):
    """The trainer was told to be strict, and could reach a network."""

    exit_status = 2


def leave_network() -> None:
    """Drops proxies, and has Python refuse every socket that leads outside; for good."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):  # what libraries would look for
        os.environ[name] = "1"
    sys.addaudithook(_refuse_outside)


def require_no_network() -> None:
    """NetworkError where there is any way out of this machine, or none can be excluded."""
    for family, address in _OUTSIDE:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            number = _attempt(family, kind, address)
            if number not in _NO_WAY:
                what = errno.errorcode.get(number, "no error") if number else "no error"
                raise NetworkError(_remedy(f"a socket to {address} gave {what}"))
    routes = _routes()
    if routes:
        raise NetworkError(_remedy(f"there are routes by {', '.join(sorted(routes))}"))


def _remedy(found: str) -> str:
    return (
        f"the trainer is strict and can reach a network ({found}); start it in a network namespace "
        "of its own, as fedvox-trainer.service does with PrivateNetwork=yes, or by `unshare -n`"
    )


def _attempt(family: int, kind: int, address: str) -> int:
    """What the system says against a connection; 0: nothing. No packet leaves but a first one."""
    try:
        with socket.socket(family, kind | socket.SOCK_NONBLOCK) as attempt:
            # Past Python's own refusal, which proves nothing of the system.
            return _connect(attempt, family, address)
    except OSError as error:
        return error.errno or -1


def _connect(attempt: socket.socket, family: int, address: str) -> int:
    import ctypes

    port = _PORT.to_bytes(2, "big")
    packed = socket.inet_pton(family, address)
    start = family.to_bytes(2, sys.byteorder) + port
    raw = start + packed + bytes(8) if family == socket.AF_INET else start + bytes(4) + packed
    raw += bytes(4) if family == socket.AF_INET6 else b""
    library = ctypes.CDLL(None, use_errno=True)
    failed = library.connect(attempt.fileno(), raw, len(raw))
    return ctypes.get_errno() if failed else 0


def _routes() -> set[str]:
    """Devices, but for the loopback, by which something can be reached."""
    found = set()
    for name, column in (("route", 0), ("ipv6_route", -1)):
        path = Path("/proc/self/net") / name
        try:
            lines = path.read_text().splitlines()
        except FileNotFoundError:
            continue  # a system without that family
        found |= {line.split()[column] for line in lines if line.split()}
    return found - {"lo", "Iface"}


def _refuse_outside(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo" and arguments[0] not in (None, "", "localhost"):
        _require_loopback(arguments[0])
    if event in _CALLS and arguments[0].family in (socket.AF_INET, socket.AF_INET6):
        _require_loopback(arguments[1][0])


def _require_loopback(host: Any) -> None:
    name = host.decode() if isinstance(host, bytes) else str(host)
    try:
        inside = name in ("", "localhost") or ipaddress.ip_address(name).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise PermissionError(errno.EPERM, "the trainer has no network")
