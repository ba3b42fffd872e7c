"""Reading a request's body: its length is checked before, its time while it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fedvox.server.gate.limits import Limits

Event = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


class Turned(Exception):
    """A request that is not let in: the status and code it is answered with."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


def header(scope: Scope, name: bytes) -> bytes:
    """A header that is there once; empty where it is missing."""
    found = [value for key, value in scope["headers"] if key == name]
    if len(found) > 1:
        raise Turned(400, "header-twice")
    return bytes(found[0]) if found else b""


def announced(scope: Scope, most: int) -> int:
    """The length that a request announces; Turned where it does not, or announces too much."""
    if header(scope, b"content-encoding"):
        raise Turned(415, "encoded")
    length = header(scope, b"content-length")
    if header(scope, b"transfer-encoding") or not length:
        raise Turned(411, "no-length")
    if not (length.isascii() and length.isdigit() and len(length) < 12):
        raise Turned(400, "length")
    if int(length) > most:
        raise Turned(413, "too-large")
    return int(length)


async def body_of(scope: Scope, receive: Receive, most: int, limits: Limits) -> bytes:
    """The whole body; Turned for one that is too long, too slow or cut off."""
    length = announced(scope, most)
    try:
        async with asyncio.timeout(limits.body_deadline_s(length)):
            return await _received(receive, length)
    except TimeoutError:
        raise Turned(408, "too-slow") from None


async def _received(receive: Receive, length: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        if event["type"] != "http.request":
            raise Turned(400, "cut-off")
        part = event.get("body", b"")
        size += len(part)
        if size > length:
            raise Turned(413, "too-large")
        if part:
            parts.append(part)
        if not event.get("more_body", False):
            break
    if size != length:
        raise Turned(400, "cut-off")
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def reply(send: Send, status: int, body: bytes, kind: bytes, close: bool = False) -> None:
    """Sends an answer."""
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
