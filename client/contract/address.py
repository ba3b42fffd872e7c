"""Where the trainer listens, and how gRPC is told so."""

from __future__ import annotations

from pathlib import Path

from fedvox.common.errors import InputError

_MOST_PATH_BYTES = 107
"""Linux keeps the path of a Unix socket in a field of 108, with a zero at its end."""
_MESSAGE_BYTES = 4 << 20

CHANNEL_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
    # A trainer that was restarted is found again at once.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
SERVER_OPTIONS = (
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
)


def socket_of(home: Path) -> Path:
    """The socket that the link connects to."""
    return home / "run" / "trainer.sock"


def address_of(socket: Path) -> str:
    """The socket as gRPC is told; InputError where its path is too long for the system."""
    if len(str(socket).encode()) > _MOST_PATH_BYTES:
        raise InputError(
            f"{socket}: longer than the {_MOST_PATH_BYTES} bytes that a socket's path may have; "
            "choose a home with a shorter path"
        )
    return f"unix:{socket}"
