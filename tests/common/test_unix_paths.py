"""A socket in a folder with a long name is bound, and found."""

import shutil
import socket
from pathlib import Path

import pytest

from fedvox.common.unix_paths import reachable


@pytest.mark.parametrize("depth", [0, 12])
def test_a_socket_is_bound_and_connected_to_whatever_its_folder_is_called(
    tmp_path: Path, depth: int
) -> None:
    folder = tmp_path.joinpath(*["a-long-name"] * depth)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "own.sock"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        with reachable(path) as name:
            server.bind(name)
        server.listen()
        with reachable(path) as name:
            client.connect(name)
        taken, _ = server.accept()
        with taken:
            client.sendall(b"hello")
            assert taken.recv(5) == b"hello"
    assert path.exists()


def test_the_folder_may_be_made_again_meanwhile(tmp_path: Path) -> None:
    home = tmp_path.joinpath(*["a-long-name"] * 12)
    home.mkdir(parents=True)
    path = home / "run" / "own.sock"
    with reachable(path) as late, socket.socket(socket.AF_UNIX) as client:
        for _ in range(2):  # nobody was there when the name was asked for
            shutil.rmtree(path.parent, ignore_errors=True)
            path.parent.mkdir()
            with socket.socket(socket.AF_UNIX) as server, reachable(path) as name:
                server.bind(name)
                server.listen()
                with socket.socket(socket.AF_UNIX) as one:
                    one.connect(late)
        with pytest.raises(ConnectionRefusedError):
            client.connect(late)
