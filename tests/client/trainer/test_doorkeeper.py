"""Only those who may ask get through, and what they send gets through whole."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedvox.client.trainer.doorkeeper import Doorkeeper, Peer

NOBODY = 65534
ASK = (
    "import os, socket, sys\n"
    "os.setgid(65534); os.setuid(int(sys.argv[1]))\n"
    "s = socket.socket(socket.AF_UNIX)\n"
    "s.connect('trainer.sock'); s.settimeout(20)\n"
    "s.sendall(b'hello'); s.shutdown(socket.SHUT_WR)\n"
    "print(s.recv(100).decode())\n"
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where every user may go."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def echo(folder: Path) -> Iterator[Path]:
    """A socket at which everything comes back."""
    path = folder / "inner"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()

    def back(connection: socket.socket) -> None:
        with connection:
            while block := connection.recv(1 << 16):
                connection.sendall(block)

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=back, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield path
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


def door(folder: Path, echo: Path, allowed: set[int], refused: list[Peer]) -> Doorkeeper:
    keeper = Doorkeeper(
        folder / "trainer.sock", echo, frozenset(allowed), refused.append, os.geteuid()
    )
    keeper.open()
    return keeper


def ask_as(uid: int, folder: Path) -> str:
    command = [sys.executable, "-S", "-c", ASK, str(uid)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    return (
        done.stdout.strip() or done.stderr.strip().splitlines()[-1]
        if done.returncode
        else done.stdout.strip()
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_refused_and_told_about(folder: Path, echo: Path) -> None:
    refused: list[Peer] = []
    keeper = door(folder, echo, {0, 12345}, refused)
    answer = ask_as(NOBODY, folder)
    assert "hello" not in answer
    assert [peer.uid for peer in refused] == [NOBODY]
    assert ask_as(12345, folder) == "hello"
    assert len(refused) == 1
    keeper.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_where_nobody_else_may_ask_the_system_keeps_others_out(folder: Path, echo: Path) -> None:
    refused: list[Peer] = []
    keeper = door(folder, echo, {0}, refused)
    assert "PermissionError" in ask_as(NOBODY, folder)
    assert refused == []
    keeper.close()


def test_what_is_sent_comes_through_whole_both_ways(folder: Path, echo: Path) -> None:
    keeper = door(folder, echo, {os.geteuid()}, [])
    sent = os.urandom(5_000_000)
    received = bytearray()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(folder / "trainer.sock"))

        def read() -> None:
            while block := connection.recv(1 << 16):
                received.extend(block)

        reader = threading.Thread(target=read)
        reader.start()
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        reader.join(30)
    assert bytes(received) == sent
    keeper.close()


def test_connections_are_bounded_and_given_back(folder: Path, echo: Path) -> None:
    keeper = door(folder, echo, {os.geteuid()}, [])

    def connect() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(10)
        connection.connect(str(folder / "trainer.sock"))
        return connection

    held = [connect() for _ in range(32)]
    for connection in held:
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
    with connect() as one_more:
        assert one_more.recv(1) == b""
    for connection in held:
        connection.close()
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with connect() as later:
            try:
                later.sendall(b"x")
                if later.recv(1) == b"x":
                    break
            except OSError:
                pass
        time.sleep(0.02)
    else:
        raise AssertionError("no room again")
    keeper.close()
