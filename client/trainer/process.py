"""The trainer as a process: `python -m fedvox.client.trainer --home DIR`."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import pwd
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fedvox.client.contract.address import socket_of
from fedvox.client.policy.recording import Recorder, site_recorder
from fedvox.client.settings import SiteSettings
from fedvox.client.trainer.data import open_holdings
from fedvox.client.trainer.doorkeeper import Doorkeeper, Peer
from fedvox.client.trainer.office import Office
from fedvox.client.trainer.strict import leave_network, require_no_network
from fedvox.common.errors import FedvoxError, InputError, RunInUseError, SiteError
from fedvox.common.files import writing
from fedvox.common.home import add_home, home_of
from fedvox.common.supervised import die_with_parent, say_ready

log = logging.getLogger(__name__)

_GRACE_S = 5.0
"""For answers on their way when the trainer is told to end; work in hand is begun again later."""
_TOLD_AGAIN_S = 60.0


def main(words: Sequence[str] | None = None) -> int:
    """Runs until SIGTERM; the exit status."""
    die_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    parser = argparse.ArgumentParser(prog="python -m fedvox.client.trainer", description=__doc__)
    add_home(parser)
    parser.add_argument("--data", default="", help="dataset:NAME or phantom:INDEX (site.toml)")
    parser.add_argument("--strict", action="store_true", help="refuse to start with a network")
    parser.add_argument(
        "--allow-user", action="append", default=[], metavar="USER", help="who else may ask"
    )
    args = parser.parse_args(words)
    try:
        leave_network()
        if args.strict:
            require_no_network()
        return _run(home_of(args), args.data, _users(args.allow_user))
    except FedvoxError as error:
        print(f"trainer: {error}", file=sys.stderr)
        return error.exit_status
    except SiteError as error:
        print(f"trainer: {error.detail or error}", file=sys.stderr)
        return 2


def _run(home: Path, data: str, allowed: frozenset[int]) -> int:
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    settings, recorder = SiteSettings.load(home), site_recorder(home)
    socket = socket_of(home)
    inner = socket.parent / "inner"
    with _alone(socket.parent):
        with writing(inner):
            inner.mkdir(mode=0o700, exist_ok=True)
            inner.chmod(0o700)
        holdings = open_holdings(home, data or settings.data)
        office = Office(settings.site, home, holdings, recorder)
        office.open()
        _serve(office, socket, inner / "t", allowed, recorder, stopping)
    return 0


def _serve(
    office: Office,
    socket: Path,
    inner: Path,
    allowed: frozenset[int],
    recorder: Recorder,
    stopping: threading.Event,
) -> None:
    from fedvox.client.trainer.service import serve

    told: dict[int, float] = {}

    def refused(peer: Peer) -> None:
        if time.monotonic() - told.get(peer.uid, -_TOLD_AGAIN_S) < _TOLD_AGAIN_S:
            return  # who knocks again and again does not fill the disk with it
        told[peer.uid] = time.monotonic()
        log.error("user %d may not ask the trainer (process %d)", peer.uid, peer.pid)
        recorder("peer-refused", {"uid": peer.uid})

    server = serve(office, inner)
    door = Doorkeeper(socket, inner, allowed, refused, os.geteuid())
    door.open()
    say_ready()
    log.info("ready")
    stopping.wait()
    door.close()
    socket.unlink(missing_ok=True)
    server.stop(_GRACE_S).wait(_GRACE_S + 1)
    log.info("ended")
    logging.shutdown()
    # Work in hand is cut off as by a kill: nothing of it has left, and all else is on the disk.
    os._exit(0)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """RunInUseError where another trainer works in this home."""
    path = folder / "trainer.lock"
    with writing(path):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, folder.parent)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, home: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RunInUseError(
            f"{home}: another trainer works in this home; stop it, or choose another"
        ) from None


def _users(names: Sequence[str]) -> frozenset[int]:
    """Numbers of the users who may ask: this one, and those named."""
    return frozenset({os.geteuid(), *map(_user, names)})


def _user(name: str) -> int:
    if name.isdecimal():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise InputError(f"--allow-user {name}: there is no such user on this machine") from None
