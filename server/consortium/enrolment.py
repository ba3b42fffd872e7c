"""What a site asks the coordinator before it belongs: a small ASGI application.

    GET  /v1/enrol/authority   root and issuing certificate; anybody may have them
    POST /v1/enrol             a request signed with the token of a kit -> the site's certificate
    POST /v1/enrol/renew       a request over a connection with the site's certificate -> the next

Whoever serves it puts the Identity of the connection's certificate into scope["fedvox.identity"].
A refusal is {"code", "sentence"} from a fixed list.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from fedvox.common.errors import FedvoxError, IdentityError
from fedvox.common.identity.certificates import Identity
from fedvox.common.identity.enrolment import MOST_BYTES, EnrolmentAnswer, EnrolmentRequest
from fedvox.common.identity.refusals import EnrolmentRefusal, EnrolmentRefused
from fedvox.server.consortium.admission import enrol, renew
from fedvox.server.consortium.authority import Authority, Recorder
from fedvox.server.consortium.recording import recorder_of
from fedvox.server.consortium.refused import RefusalRecord

log = logging.getLogger(__name__)

IDENTITY_KEY = "fedvox.identity"

Act = Callable[[EnrolmentRequest], EnrolmentAnswer]

_STATUS = {
    EnrolmentRefusal.FAILED: 500,
    EnrolmentRefusal.MALFORMED: 400,
    EnrolmentRefusal.TOO_LARGE: 413,
}
"""HTTP status of a refusal; 403 for all others."""


def enrolment_app(home: Path, record: Recorder | None = None) -> ASGIApp:
    """The application, for the consortium in a folder."""
    recorder = record or recorder_of(home)
    desk = _Desk(Authority.open(home, recorder, "the coordinator"), RefusalRecord(recorder))
    routes = [
        Route("/v1/enrol/authority", desk.authority, methods=["GET"]),
        Route("/v1/enrol", desk.enrol, methods=["POST"]),
        Route("/v1/enrol/renew", desk.renew, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _not_here})


class _Desk:
    """Answers one request after the other, each from the registry as it stands."""

    def __init__(self, authority: Authority, refused: RefusalRecord) -> None:
        self._authority = authority
        self._refused = refused

    async def authority(self, _: Request) -> Response:
        papers = await run_in_threadpool(self._authority.papers)
        return JSONResponse(papers)

    async def enrol(self, request: Request) -> Response:
        return await self._answered(request, lambda asked: enrol(self._authority, asked), None)

    async def renew(self, request: Request) -> Response:
        identity = request.scope.get(IDENTITY_KEY)
        known = identity if isinstance(identity, Identity) else None
        if known is None:  # not one byte is read from who may not ask
            return await self._refuse(EnrolmentRefusal.NO_CERTIFICATE, None)
        return await self._answered(
            request, lambda asked: renew(self._authority, known, asked), known
        )

    async def _answered(self, request: Request, act: Act, known: Identity | None) -> Response:
        try:
            content = await _body(request)
            answer = await run_in_threadpool(lambda: act(_parsed(content)))
        except EnrolmentRefused as refused:
            return await self._refuse(refused.refusal, known)
        except ClientDisconnect:
            return Response(status_code=400)
        except (FedvoxError, Exception):
            # Whatever went wrong, its text stays here.
            log.exception("an enrolment failed")
            return await self._refuse(EnrolmentRefusal.FAILED, known)
        return Response(answer.text(), media_type="application/json")

    async def _refuse(self, refusal: EnrolmentRefusal, known: Identity | None) -> Response:
        await run_in_threadpool(self._refused.note, refusal, known.name if known else "")
        fields = {"code": str(refusal), "sentence": refusal.sentence}
        return JSONResponse(fields, _STATUS.get(refusal, 403), {"connection": "close"})


async def _body(request: Request) -> bytes:
    """The body; refused, and not read on, as soon as it is too large."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MOST_BYTES:
            raise EnrolmentRefused(EnrolmentRefusal.TOO_LARGE)
    return bytes(content)


def _parsed(content: bytes) -> EnrolmentRequest:
    try:
        return EnrolmentRequest.parse(content, "the request")
    except IdentityError:
        raise EnrolmentRefused(EnrolmentRefusal.MALFORMED) from None


async def _not_here(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    return JSONResponse({"code": "not-here", "sentence": "there is nothing here"}, status)
