"""What operators may ask of a running coordinator, on a Unix socket under its folder."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from fedvox.common.errors import FedvoxError, InputError, nearest
from fedvox.common.identity.certificates import Identity
from fedvox.common.identity.names import Rank
from fedvox.common.study import parse_study
from fedvox.server.coordinator.operators import HEADER, Doorman, Forbidden
from fedvox.server.coordinator.status import Nodes, listed, study_status
from fedvox.server.coordinator.studies import ACTS, Studies

MOST_BYTES = 1 << 20
_RESULT = ("study.toml", "summary.json", "report.html", "rounds.jsonl", "model.safetensors")
Answer = Callable[[Request, Identity, bytes], object]
Note = Callable[..., object]


class OperatorApi:
    """Answers operators; everything that changes something goes into the audit log."""

    def __init__(
        self,
        studies: Studies,
        doorman: Doorman,
        nodes: Callable[[], Nodes],
        note: Note,
        invited: Callable[[], Collection[str]],
    ) -> None:
        """`invited` are the sites that belong to the consortium, or are about to."""
        self._invited = invited
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
                Route("/studies/{name}/result/{file:path}", self._for(view, self._file)),
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
        sites = tuple(sorted({*filter(None, map(str.strip, named.split(",")))}))
        invited = self._invited()
        for site in sites:
            if site not in invited:
                raise InputError(f"no site {site!r} in this consortium; {nearest(site, invited)}")
        record = self._studies.propose(study, who.name, sites)
        self._note("proposed", study=record.name, study_sha256=record.study_sha256, by=who.name)
        return self._told(record.name)

    def _status(self, request: Request, who: Identity, body: bytes) -> object:
        return self._told(request.path_params["name"])

    def _act(self, request: Request, who: Identity, body: bytes) -> object:
        name, act = request.path_params["name"], request.path_params["act"]
        if act not in ACTS:
            return JSONResponse({"error": f"a study cannot be asked to {act!r}"}, 404)
        if act == "resume" and (back := self._readmitted(name)):
            self._note("readmitted", study=name, sites=list(back), by=who.name)
        record = self._studies.act(name, act)
        self._note(act, study=name, study_sha256=record.study_sha256, by=who.name)
        return self._told(name)

    def _readmitted(self, name: str) -> tuple[str, ...]:
        """Sites that take part again once the study is resumed."""
        may = self._studies.get(name).state in ACTS["resume"][0]
        return self._studies.readmit(name, self._nodes().keys()) if may else ()

    def _result(self, request: Request, who: Identity, body: bytes) -> object:
        """Which files a study has left, and whether that is all of them."""
        record = self._studies.get(request.path_params["name"])
        files = result_files(self._studies.run_folder(record.name))
        if "rounds.jsonl" not in files:
            raise InputError(f"study {record.name!r} has no result yet: it is {record.state}")
        return {"state": record.state, "files": files}

    def _file(self, request: Request, who: Identity, body: bytes) -> object:
        """One of them; read piece by piece, since a model may be large."""
        name, file = request.path_params["name"], request.path_params["file"]
        folder = self._studies.run_folder(self._studies.get(name).name)
        if file not in result_files(folder):
            raise InputError(f"the result of {name!r} has no file {file!r}")
        return FileResponse(folder / file, media_type="application/octet-stream")

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


def result_files(folder: Path) -> list[str]:
    """What is handed out of a run folder; checkpoints and locks are the coordinator's own."""
    events = sorted(path.name for path in (folder / "tensorboard").glob("events.*"))
    files = [*_RESULT, *(f"tensorboard/{name}" for name in events)]
    return [file for file in files if (folder / file).is_file()]


async def _body(request: Request) -> bytes | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            return None
    return bytes(body)
