"""What answers on the inner Unix socket: the calls of conductors that hold a run's token."""

from __future__ import annotations

import json
from typing import Any

from fedvox.common.frames import framed, unframed
from fedvox.server.gate.bodies import Receive, Scope, Send, Turned, body_of, header, reply
from fedvox.server.gate.calls import RUNTIME, TOKEN_HEADER, Fault, parse
from fedvox.server.gate.counter import Counter
from fedvox.server.gate.limits import Limits

PREFIX = "/v1/runtime/"
_MANY = {"pull-objects": "pull-object", "push-objects": "push-object"}
_MOST_BYTES = 64 << 20
"""Of a body: a request for a hundred sites names their objects."""


class Inner:
    """The app of the inner socket."""

    def __init__(self, counter: Counter, limits: Limits) -> None:
        self._counter = counter
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        try:
            body, kind = await self._answer(scope, receive)
            await reply(send, 200, body, kind)
        except (Turned, Fault) as refusal:
            code = json.dumps({"code": refusal.code}).encode()
            await reply(send, refusal.status, code, b"application/json", close=True)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[bytes, bytes]:
        path = str(scope["path"])
        call = path.removeprefix(PREFIX)
        if scope["method"] != "POST" or call == path:
            raise Turned(404, "no-such-path")
        token = header(scope, TOKEN_HEADER).decode("ascii", "replace")
        if call == "answered":
            return await self._answered(token, scope, receive), b"application/json"
        if _MANY.get(call, call) not in RUNTIME:
            raise Turned(404, "no-such-path")
        body = await body_of(scope, receive, _MOST_BYTES, self._limits)
        if call in _MANY:
            return await self._many(_MANY[call], body, token), b"application/fedvox-frames"
        return await self._one(call, body, token), b"application/protobuf"

    async def _one(self, call: str, body: bytes | memoryview, token: str) -> bytes:
        request = parse(RUNTIME[call], body)
        answer = await self._counter.answer_conductor(call, request, token)
        return bytes(answer.SerializeToString())

    async def _many(self, call: str, body: bytes, token: str) -> bytes:
        try:
            frames = unframed(body, self._limits.frames)
        except ValueError:
            raise Turned(400, "malformed") from None
        answers: list[bytes] = []
        size = 0
        for frame in frames:
            answers.append(await self._one(call, frame, token))
            size += len(answers[-1])
            if size > self._limits.answer_bytes - self._limits.object_bytes:
                break
        return framed(answers)

    async def _answered(self, token: str, scope: Scope, receive: Receive) -> bytes:
        """Which requests have been answered whole; waits a while for the first."""
        run = self._counter.superlink.run_of(token)
        try:
            asked: Any = json.loads(await body_of(scope, receive, _MOST_BYTES, self._limits))
            names = [str(name) for name in asked["messages"]]
            wait_s = min(float(asked["wait_s"]), self._limits.wait_s)
        except (ValueError, KeyError, TypeError):
            raise Turned(400, "malformed") from None
        return json.dumps(await self._counter.await_answers(run, names, wait_s)).encode()
