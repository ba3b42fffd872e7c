"""The listening side of DICOM: connections are bounded, and none holds up the others."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from socketserver import BaseServer
from typing import Any

from pynetdicom.transport import ThreadedAssociationServer

THREADS_AT_MOST = 128
"""Three make an association; a peer that opens connections and says nothing gets no more."""


class Server(ThreadedAssociationServer):
    """Accepts connections; TLS is negotiated in each connection's own thread, within a time."""

    daemon_threads = True

    def __init__(
        self,
        *args: Any,
        refused: Callable[[str, str], None],
        handshake_s: float,
        **options: Any,
    ) -> None:
        self._refused = refused
        self._handshake_s = handshake_s
        super().__init__(*args, **options)

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection, as it is."""
        if self.socket is None:
            raise OSError("closed")
        connection, address = self.socket.accept()
        connection.settimeout(self._handshake_s)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for another connection."""
        if threading.active_count() < THREADS_AT_MOST:
            return True
        self._refused("too-many", str(client_address[0]))
        return False

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Negotiates TLS where it is wanted, then begins the association."""
        if self.ssl_context is not None:
            try:
                request = self.ssl_context.wrap_socket(request, server_side=True)
            except (OSError, ssl.SSLError):
                self._refused("tls", str(client_address[0]))
                request.close()
                return
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: what a library could tell of it may quote what was sent."""


def serve(server: Server) -> threading.Thread:
    """Has the server accept connections in a thread of its own."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2})
    thread.daemon = True
    thread.start()
    return thread


def stop(server: Server) -> None:
    """No more connections are accepted; associations that are there go on."""
    BaseServer.shutdown(server)  # pynetdicom's own expects a server that its own AE started
    server.server_close()
