"""A small HTTP proxy for tests: CONNECT and nothing else, over TCP or TLS, with or without a password."""

import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class ConnectProxy:
    """Tunnels to wherever it is asked for, and remembers what that was."""

    port: int = 0
    password: str = ""
    """NAME:PASSWORD that whoever uses it must show."""
    asked: list[str] = field(default_factory=list)
    tunnelled: bytearray = field(default_factory=bytearray)
    """What clients sent through it."""

    def serve(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        while True:
            try:
                taken, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(taken, context), daemon=True).start()

    def _one(self, taken: socket.socket, context: ssl.SSLContext | None) -> None:
        with contextlib.suppress(OSError, IndexError), taken:
            client = context.wrap_socket(taken, server_side=True) if context else taken
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(1024) or b"\r\n\r\n"
            words = head.split(b"\r\n")[0].decode().split()
            wanted = f"Basic {base64.b64encode(self.password.encode()).decode()}".encode()
            if self.password and wanted not in head:
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            elif words[0] != "CONNECT":
                client.sendall(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
            else:
                self.asked.append(words[1])
                self._tunnel(client, words[1])
            client.close()

    def _tunnel(self, client: socket.socket, target: str) -> None:
        host, _, port = target.rpartition(":")
        try:
            far = socket.create_connection((host.strip("[]"), int(port)), timeout=5)
        except OSError:
            client.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            return
        with far:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(far, client, bytearray()), daemon=True)
            back.start()
            _pump(client, far, self.tunnelled)
            back.join(5)


def _pump(source: socket.socket, sink: socket.socket, seen: bytearray) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(65536):
            seen += chunk
            sink.sendall(chunk)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def connect_proxy(
    context: ssl.SSLContext | None = None, password: str = ""
) -> Iterator[ConnectProxy]:
    """A proxy on a free port of 127.0.0.1, gone when the block is left."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = ConnectProxy(listener.getsockname()[1], password)
        thread = threading.Thread(target=proxy.serve, args=(listener, context), daemon=True)
        thread.start()
        yield proxy
        listener.shutdown(socket.SHUT_RDWR)
