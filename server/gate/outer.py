"""What answers on the outward port: Flower's calls for members, and enrolment; nothing else."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from fedvox.common.frames import framed, unframed
from fedvox.common.identity.certificates import Identity
from fedvox.server.gate.bodies import (
    Receive,
    Scope,
    Send,
    Turned,
    announced,
    body_of,
    header,
    reply,
)
from fedvox.server.gate.calls import FLEET, KEY_HEADER, Fault, Route, parse
from fedvox.server.gate.claims import check_claims
from fedvox.server.gate.counter import Counter
from fedvox.server.gate.limits import Limits
from fedvox.server.gate.listener import IDENTITY, PEER

App = Callable[[Scope, Receive, Send], Awaitable[None]]

PREFIX = "/v1/fleet/"
ENROL = "/v1/enrol"
WAIT_HEADER = b"fedvox-wait"
PROTOBUF, FRAMES = b"application/protobuf", b"application/fedvox-frames"
_MANY = {"pull-objects": "pull-object", "push-objects": "push-object"}
"""Several calls in one body: a model of many small parts does not cost a journey for each."""
_AT_ONCE = 4
"""Bodies of one site that are read or answered at the same time."""


class Outer:
    """The app of the outward port."""

    def __init__(self, counter: Counter, enrolment: App, limits: Limits) -> None:
        self._counter = counter
        self._enrolment = enrolment
        self._limits = limits
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(_AT_ONCE)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        try:
            await self._answer(scope, receive, send)
        except (Turned, Fault) as refusal:
            peer = scope[PEER]
            if refusal.status in _SUSPECT:
                self._counter.incidents.refused(peer.address, refusal.code, peer.site)
            body = json.dumps({"code": refusal.code}).encode()
            await reply(send, refusal.status, body, b"application/json", close=True)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = _plain_path(scope)
        if path == ENROL or path.startswith(f"{ENROL}/"):
            await self._enrol(scope, receive, send)
            return
        call = path.removeprefix(PREFIX)
        if scope["method"] != "POST" or call == path or (call not in FLEET and call not in _MANY):
            raise Turned(404, "no-such-path")
        identity = self._member(scope)
        async with self._turns[identity.name]:
            answer, kind = await self._asked(call, identity, scope, receive)
        await reply(send, 200, answer, kind)

    async def _enrol(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "GET":
            announced(scope, self._limits.call_bytes)
        async with asyncio.timeout(self._limits.body_s):
            await self._enrolment(scope, receive, send)
        self._counter.look_at_members()

    def _member(self, scope: Scope) -> Identity:
        """The site that asks; Turned for anybody else, and for one that shows another's key."""
        identity: Identity | None = scope[IDENTITY]
        if why := self._counter.why_not(identity):
            raise Turned(403, why)
        if identity is None:  # never: it would have been turned away above
            raise Turned(403, "no-certificate")
        try:
            key = b64decode(header(scope, KEY_HEADER), validate=True)
        except ValueError:
            key = b""
        if key != identity.public_key:
            raise Turned(403, "not-own-key")
        return identity

    async def _asked(
        self, call: str, identity: Identity, scope: Scope, receive: Receive
    ) -> tuple[bytes, bytes]:
        carries = "object" in call
        most = self._limits.object_bytes if carries else self._limits.call_bytes
        kind = FRAMES if call in _MANY else PROTOBUF
        if header(scope, b"content-type") != kind:
            raise Turned(415, "content-type")
        body = await body_of(scope, receive, most, self._limits)
        node = self._counter.node_of(identity.name)
        if call in _MANY:
            return await self._many(_MANY[call], identity, node, body), FRAMES
        request = self._checked(call, FLEET[call], body, identity, node)
        if call == "pull-messages":
            wait_s = _seconds(header(scope, WAIT_HEADER), self._limits.wait_s)
            if not await self._await_request(identity.name, node, wait_s, receive):
                return b"", PROTOBUF
        answer = await self._counter.answer(call, request, identity.name)
        return answer.SerializeToString(), PROTOBUF

    async def _many(self, call: str, identity: Identity, node: int, body: bytes) -> bytes:
        """Answers to as many of the frames as fit; the caller asks again for the others."""
        try:
            frames = unframed(body, self._limits.frames)
        except ValueError:
            raise Turned(400, "malformed") from None
        answers: list[bytes] = []
        size = 0
        for frame in frames:
            request = self._checked(call, FLEET[call], frame, identity, node)
            answer = (await self._counter.answer(call, request, identity.name)).SerializeToString()
            answers.append(answer)
            size += len(answer)
            if size > self._limits.answer_bytes - self._limits.object_bytes:
                break
        return framed(answers)

    def _checked(
        self, call: str, route: Route, body: bytes | memoryview, identity: Identity, node: int
    ) -> Any:
        request = parse(route, body)
        given = self._counter.given_to(identity.name)
        check_claims(call, request, node, identity.public_key, given, self._limits.most_objects)
        return request

    async def _await_request(self, site: str, node: int, wait_s: float, receive: Receive) -> bool:
        """Whether there is a request; False also when the site has gone: it must not be given."""
        gone = asyncio.ensure_future(receive())
        waiting = asyncio.ensure_future(self._counter.await_request(site, node, wait_s))
        try:
            await asyncio.wait({gone, waiting}, return_when=asyncio.FIRST_COMPLETED)
            return not gone.done() and waiting.result()
        finally:
            gone.cancel()
            waiting.cancel()


_SUSPECT = frozenset({400, 403, 404, 408, 411, 413, 415})
"""Answers to what a site of this release does not do: they are recorded."""


def _plain_path(scope: Scope) -> str:
    """The path as it was sent; Turned unless it is plain: no escapes, dots, doubles or query."""
    path = str(scope["path"])
    raw = bytes(scope["raw_path"])
    if raw != path.encode("utf-8", "replace") or scope["query_string"]:
        raise Turned(404, "no-such-path")
    if not all(letter.isascii() and (letter.isalnum() or letter in "/-") for letter in path):
        raise Turned(404, "no-such-path")
    if "//" in path:
        raise Turned(404, "no-such-path")
    return path


def _seconds(text: bytes, most: float) -> float:
    return min(float(text), most) if text.isdigit() and len(text) < 4 else 0.0
