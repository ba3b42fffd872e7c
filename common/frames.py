"""Several messages in one body: each with its length in four bytes before it."""

from __future__ import annotations

from collections.abc import Iterable

_LENGTH_BYTES = 4


def framed(messages: Iterable[bytes]) -> bytes:
    """The messages, one behind the other."""
    parts: list[bytes] = []
    for message in messages:
        parts += (len(message).to_bytes(_LENGTH_BYTES, "big"), message)
    return b"".join(parts)


def unframed(body: bytes | memoryview, most: int) -> list[memoryview]:
    """Views of the messages in a body; ValueError for a body that is cut off or has too many."""
    view, at = memoryview(body), 0
    found: list[memoryview] = []
    while at < view.nbytes:
        length = int.from_bytes(view[at : at + _LENGTH_BYTES], "big")
        at += _LENGTH_BYTES
        if at + length > view.nbytes or len(found) == most:
            raise ValueError("a body that does not hold whole messages, or too many")
        found.append(view[at : at + length])
        at += length
    return found
