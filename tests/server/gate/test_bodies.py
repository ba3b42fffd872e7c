"""Bodies as they come: in pieces, too long, too short, too slowly."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fedvox.server.gate.bodies import Turned, announced, body_of, header
from fedvox.server.gate.limits import Limits


def scope(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http", "headers": list(headers)}


def read(length: int, *pieces: bytes, most: int = 100) -> bytes:
    events = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    events[-1]["more_body"] = False
    coming = iter(events)

    async def receive() -> dict[str, Any]:
        return next(coming, {"type": "http.disconnect"})

    given = scope((b"content-length", str(length).encode()))
    return asyncio.run(body_of(given, receive, most, Limits()))


def test_pieces_are_put_together() -> None:
    assert read(6, b"ab", b"", b"cdef") == b"abcdef"
    assert read(0, b"") == b""


@pytest.mark.parametrize(
    ("length", "pieces", "code"),
    [(3, [b"ab"], "cut-off"), (3, [b"ab", b"cd"], "too-large"), (101, [b"x"], "too-large")],
)
def test_another_length_than_announced_is_turned_away(
    length: int, pieces: list[bytes], code: str
) -> None:
    with pytest.raises(Turned, match=code):
        read(length, *pieces)


def test_what_comes_too_slowly_is_turned_away() -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(5)
        return {}

    given = scope((b"content-length", b"3"))
    with pytest.raises(Turned, match="too-slow"):
        asyncio.run(body_of(given, receive, 9, Limits(body_s=0.05)))


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"0x10", b" 5", "٣".encode()])
def test_a_length_is_a_plain_number(length: bytes) -> None:
    with pytest.raises(Turned, match="length"):
        announced(scope((b"content-length", length)), 100)


def test_a_header_counts_once() -> None:
    with pytest.raises(Turned, match="twice"):
        header(scope((b"a", b"1"), (b"a", b"1")), b"a")
    assert header(scope((b"a", b"1")), b"b") == b""


def test_a_long_body_may_take_longer() -> None:
    bounds = Limits(body_s=10, body_bytes_per_s=1000)
    assert bounds.body_deadline_s(5000) == 15
