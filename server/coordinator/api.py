"""What operators may ask of a running coordinator, on a Unix socket under its folder."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fedvox.common.errors import FedvoxError
from fedvox.common.identity.certificates import Identity
from fedvox.common.identity.names import Rank
from fedvox.common.study import parse_study
from fedvox.server.coordinator.operators import HEADER, Doorman, Forbidden
from fedvox.server.coordinator.status import Nodes, listed, study_status
from fedvox.server.coordinator.studies import ACTS, Studies

MOST_BYTES = 1 << 20
_RESULT = (
    "study.toml", "summary.json", "report.html", "rounds.jsonl", "model.safetensors",
    "evaluation.json",
)  # fmt: skip

Answer = Callable[[Request, Identity, bytes], object]
Note = Callable[..., object]


class OperatorApi:
    """Answers operators; everything that changes something goes into the audit log."""

    def __init__(
        self, studies: Studies, doorman: Doorman, nodes: Callable[[], Nodes], note: Note
    ) -> None:
        self._studies = studies
        self._doorman = doorman
        self._nodes = nodes
        self._note = note

    def app(self) -> Starlette:
        """As a server runs it."""
        view, act = Rank.VIEWER, Rank.OPERATOR
        return Starlette(
            routes=[
                Route("/studies", self._for(view, self._list), methods=["GET"]),
                Route("/studies", self._for(act, self._propose), methods=["POST"]),
                Route("/studies/{name}", self._for(view, self._status), methods=["GET"]),
                Route("/studies/{name}/result", self._for(view, self._result), methods=["GET"]),
                Route("/studies/{name}/{act}", self._for(act, self._act), methods=["POST"]),
                Route("/sites", self._for(view, self._sites), methods=["GET"]),
            ]
        )

    def _for(self, least: Rank, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            body = await _body(request)
            if body is None:
                return JSONResponse({"error": "the request is too large"}, 413)
            header = request.headers.get(HEADER, "")
            try:
                who = self._doorman.admit(header, request.method, request.url.path, body, least)
                told = await run_in_threadpool(answer, request, who, body)
            except Forbidden as error:
                self._note("operator refused", path=request.url.path, why=str(error))
                return JSONResponse({"error": str(error)}, 403)
            except FedvoxError as error:
                return JSONResponse({"error": str(error)}, 400)
            return told if isinstance(told, Response) else JSONResponse(told)

        return handle

    def _list(self, request: Request, who: Identity, body: bytes) -> object:
        studies = self._studies
        return {"studies": [listed(one, studies.progress(one.name)) for one in studies.all()]}

    def _propose(self, request: Request, who: Identity, body: bytes) -> object:
        study = parse_study(body.decode(errors="replace"))
        named = request.headers.get("fedvox-sites", "")
        sites = tuple(sorted(filter(None, named.split(","))))
        record = self._studies.propose(study, who.name, sites)
        self._note("proposed", study=record.name, study_sha256=record.study_sha256, by=who.name)
        return self._told(record.name)

    def _status(self, request: Request, who: Identity, body: bytes) -> object:
        return self._told(request.path_params["name"])

    def _act(self, request: Request, who: Identity, body: bytes) -> object:
        name, act = request.path_params["name"], request.path_params["act"]
        if act not in ACTS:
            return JSONResponse({"error": f"a study cannot be asked to {act!r}"}, 404)
        record = self._studies.act(name, act)
        self._note(act, study=name, study_sha256=record.study_sha256, by=who.name)
        return self._told(name)

    def _result(self, request: Request, who: Identity, body: bytes) -> object:
        name = request.path_params["name"]
        self._studies.get(name)
        folder = self._studies.run_folder(name)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for file in _RESULT:
                if (folder / file).exists():
                    archive.add(folder / file, file)
        return Response(packed.getvalue(), media_type="application/x-tar")

    def _sites(self, request: Request, who: Identity, body: bytes) -> object:
        return {
            "sites": [
                {"name": name, "online": online, "last_seen": seen or None}
                for name, (online, seen) in sorted(self._nodes().items())
            ]
        }

    def _told(self, name: str) -> object:
        record, studies = self._studies.get(name), self._studies
        return study_status(record, studies.study(name), studies.progress(name), self._nodes())


async def _body(request: Request) -> bytes | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            return None
    return bytes(body)
