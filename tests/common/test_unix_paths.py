"""A socket in a folder with a long name is bound, and found."""

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
