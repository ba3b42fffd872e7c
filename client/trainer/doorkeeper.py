"""The socket that others see: looks at who is there before a byte of theirs is read.

gRPC's Python server cannot say which user is at the other end. So it listens on a socket in a
folder that nobody else may enter, and this one hands on to it what comes from those who may ask.
"""

from __future__ import annotations

import logging
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fedvox.common.unix_paths import reachable

log = logging.getLogger(__name__)

_CREDENTIALS = struct.Struct("3i")
_BLOCK = 1 << 18
_MOST_CONNECTIONS = 32


@dataclass(frozen=True)
class Peer:
    """The process at the other end, as the system vouches for it."""

    pid: int
    uid: int
    gid: int


def peer_of(connection: socket.socket) -> Peer:
    """Who connected."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return Peer(*_CREDENTIALS.unpack(raw))


class Doorkeeper:
    """Listens at `outer` and hands on to `inner` what comes from the users in `allowed`."""

    def __init__(
        self,
        outer: Path,
        inner: Path,
        allowed: frozenset[int],
        refused: Callable[[Peer], None],
        own: int,
    ) -> None:
        """`refused` is told of everybody who may not ask; `own` is this process's user."""
        self._inner = inner
        self._allowed = allowed
        self._refused = refused
        self._room = threading.Semaphore(_MOST_CONNECTIONS)
        outer.unlink(missing_ok=True)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        with reachable(outer) as name:
            self._listening.bind(name)
        # Other users may knock where some of them may enter; the folders above decide as well.
        outer.chmod(0o600 if allowed <= {own} else 0o666)
        self._listening.listen(_MOST_CONNECTIONS)
        self._thread = threading.Thread(target=self._accept, name="doorkeeper", daemon=True)

    def open(self) -> None:
        """Begins to let in."""
        self._thread.start()

    def close(self) -> None:
        """Lets nobody in any more; who is in stays until the other end is closed."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return  # closed
            try:
                self._let_in(connection)
            except Exception:  # one visitor's trouble is not the next one's
                log.exception("a connection could not be handed on")
                connection.close()

    def _let_in(self, connection: socket.socket) -> None:
        peer = peer_of(connection)
        if peer.uid not in self._allowed:
            connection.close()
            self._refused(peer)
            return
        if not self._room.acquire(blocking=False):
            log.warning("more than %d connections: one was closed", _MOST_CONNECTIONS)
            connection.close()
            return
        onward = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            with reachable(self._inner) as name:
                onward.connect(name)
        except OSError:
            onward.close()
            self._room.release()
            raise
        threading.Thread(
            target=self._splice, args=(connection, onward), name="splice", daemon=True
        ).start()

    def _splice(self, one: socket.socket, other: socket.socket) -> None:
        back = threading.Thread(target=_pump, args=(other, one), name="splice back", daemon=True)
        back.start()
        _pump(one, other)
        back.join()
        one.close()
        other.close()
        self._room.release()


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Hands on what comes, and then that no more comes."""
    block = bytearray(_BLOCK)
    view = memoryview(block)
    with suppress(OSError):
        while count := source.recv_into(block):
            target.sendall(view[:count])
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
    with suppress(OSError):
        source.shutdown(socket.SHUT_RD)
