"""Where the trainer listens, and how gRPC is told so."""

from __future__ import annotations

from pathlib import Path

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


def address_of(name: str | Path) -> str:
    """A socket as gRPC is told; a long path goes through `reachable` first."""
    return f"unix:{name}"
