"""How much anybody may send, and how long they may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The gate's bounds; the defaults fit a link of 64 kB/s and models of gigabytes."""

    handshake_s: float = 10.0
    head_s: float = 20.0
    """From a request's first byte, or a connection's beginning, to the end of its head."""
    head_bytes: int = 32 << 10
    idle_s: float = 75.0
    """Between two requests on a connection."""
    body_s: float = 30.0
    """For a body, and more for a long one:"""
    body_bytes_per_s: int = 32 << 10
    object_bytes: int = (5 << 20) + (64 << 10)
    """Of a body that holds objects; Flower cuts them at 5 MiB."""
    call_bytes: int = 256 << 10
    """Of any other body."""
    most_objects: int = 3000
    """In one message: fifteen gigabytes of chunks."""
    frames: int = 256
    """Objects asked for or sent in one body."""
    answer_bytes: int = 6 << 20
    """After so much, an answer to many questions is ended; the rest is asked for again."""
    connections: int = 1024
    connections_of_stranger: int = 64
    """From one address, as long as no site was recognised; all sites may come by one front."""
    connections_of_site: int = 8
    wait_s: float = 20.0
    """Longest that a site or a conductor may be kept waiting for what is not there yet."""

    def body_deadline_s(self, length: int) -> float:
        """How long a body of this length may take."""
        return self.body_s + length / self.body_bytes_per_s
