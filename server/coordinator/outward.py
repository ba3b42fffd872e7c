"""Whether the outward port answers as it answers a site: the coordinator dials itself."""

from __future__ import annotations

import socket
import ssl

from cryptography import x509

from fedvox.common.identity.tls import joining_context

_PATIENCE_S = 3.0
_NAME = "localhost"
"""The coordinator's certificate always has it."""
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_QUESTION = (
    b"GET /v1/enrol/authority HTTP/1.1\r\nhost: "
    + _NAME.encode()
    + b"\r\nconnection: close\r\n\r\n"
)
_GOOD = b"HTTP/1.1 200 "


def outward_troubles(host: str, port: int, root: x509.Certificate) -> list[str]:
    """What keeps sites from being answered at the port, in words; empty where nothing does."""
    where = f"the outward port {host}:{port}"
    try:
        answer = _answer(_EVERYWHERE.get(host, host), port, joining_context(root))
    except ssl.SSLCertVerificationError as error:
        return [
            f"{where} shows a certificate that sites turn away: {error.verify_message}; the "
            "coordinator's log says why it was not renewed"
        ]
    except TimeoutError:
        return [f"{where} does not answer within {_PATIENCE_S:g} s; restart the coordinator"]
    except OSError as error:
        why = error.strerror or type(error).__name__
        return [f"{where} does not answer: {why}; restart the coordinator"]
    if answer != _GOOD:
        said = answer.decode("ascii", "replace").strip() or "nothing"
        return [f"{where} answers {said!r} to who wants to enrol; the log says why"]
    return []


def _answer(host: str, port: int, context: ssl.SSLContext) -> bytes:
    with (
        socket.create_connection((host, port), _PATIENCE_S) as plain,
        context.wrap_socket(plain, server_hostname=_NAME) as secure,
    ):
        secure.sendall(_QUESTION)
        answer = bytearray()
        while len(answer) < len(_GOOD) and (part := secure.recv(len(_GOOD) - len(answer))):
            answer += part
        return bytes(answer)
