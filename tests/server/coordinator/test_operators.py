"""A request counts only when an operator of sufficient rank signed exactly it, just now, once."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from parties import Authority
from small import tiny

from fedvox.common.cli import main
from fedvox.common.identity.names import Rank
from fedvox.common.study import dump_study
from fedvox.server.coordinator.api import MOST_BYTES, OperatorApi
from fedvox.server.coordinator.operators import HEADER, Doorman, Forbidden, header_for
from fedvox.server.coordinator.studies import State, Studies


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def doorman(authority: Authority, ranks: dict[str, Rank], revoked: bool = False) -> Doorman:
    return Doorman(authority.root, ranks.get, lambda serial: revoked)


def test_the_rank_is_that_of_the_registry(authority: Authority, tmp_path: Path) -> None:
    own = authority.operator("ann", Rank.ADMIN, tmp_path / "ann.pem")
    header = header_for(own, "GET", "/x", b"")
    assert doorman(authority, {"ann": Rank.VIEWER}).admit(header, "GET", "/x", b"", Rank.VIEWER)
    header = header_for(own, "GET", "/x", b"")
    with pytest.raises(Forbidden, match="ann is viewer"):
        doorman(authority, {"ann": Rank.VIEWER}).admit(header, "GET", "/x", b"", Rank.OPERATOR)
    header = header_for(own, "GET", "/x", b"")
    with pytest.raises(Forbidden, match="no longer"):
        doorman(authority, {}).admit(header, "GET", "/x", b"", Rank.VIEWER)
    with pytest.raises(Forbidden, match="no longer"):
        doorman(authority, {"ann": Rank.ADMIN}, True).admit(header, "GET", "/x", b"", Rank.VIEWER)


def test_nothing_of_a_request_may_be_changed(authority: Authority, tmp_path: Path) -> None:
    own = authority.operator("ann", Rank.ADMIN, tmp_path / "ann.pem")
    door = doorman(authority, {"ann": Rank.ADMIN})
    header = header_for(own, "POST", "/a", b"body")
    for method, path, body in (
        ("GET", "/a", b"body"),
        ("POST", "/b", b"body"),
        ("POST", "/a", b""),
    ):
        with pytest.raises(Forbidden, match="not signed"):
            door.admit(header, method, path, body, Rank.VIEWER)
    told = json.loads(base64.b64decode(header))
    told["at"] += 1
    later = base64.b64encode(json.dumps(told).encode()).decode()
    with pytest.raises(Forbidden, match="not signed"):
        door.admit(later, "POST", "/a", b"body", Rank.VIEWER)
    door.admit(header, "POST", "/a", b"body", Rank.VIEWER)
    with pytest.raises(Forbidden, match="made before"):
        door.admit(header, "POST", "/a", b"body", Rank.VIEWER)
    for nonsense in ("", "x", base64.b64encode(b"{}").decode()):
        with pytest.raises(Forbidden):
            door.admit(nonsense, "POST", "/a", b"body", Rank.VIEWER)


def test_strangers_sites_and_old_requests_are_refused(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = doorman(authority, {"ann": Rank.ADMIN, "site-a": Rank.ADMIN})
    stranger = Authority().operator("ann", Rank.ADMIN, tmp_path / "s.pem")
    with pytest.raises(Forbidden, match="consortium's root"):
        door.admit(header_for(stranger, "GET", "/", b""), "GET", "/", b"", Rank.VIEWER)
    site = authority.site("site-a", tmp_path / "site.pem")
    with pytest.raises(Forbidden, match="not signed by an operator"):
        door.admit(header_for(site, "GET", "/", b""), "GET", "/", b"", Rank.VIEWER)
    own = authority.operator("ann", Rank.ADMIN, tmp_path / "ann.pem")
    header = header_for(own, "GET", "/", b"")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 301)
    with pytest.raises(Forbidden, match="too old"):
        door.admit(header, "GET", "/", b"", Rank.VIEWER)


async def _ask(api: OperatorApi, build: Callable[[], httpx.Request]) -> httpx.Response:
    transport = httpx.ASGITransport(api.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://c") as http:
        return await http.send(build())


def test_the_api_lets_viewers_look_and_operators_act(authority: Authority, tmp_path: Path) -> None:
    import asyncio

    ann = authority.operator("ann", Rank.OPERATOR, tmp_path / "ann.pem")
    eve = authority.operator("eve", Rank.VIEWER, tmp_path / "eve.pem")
    door = doorman(authority, {"ann": Rank.OPERATOR, "eve": Rank.VIEWER})
    notes: list[tuple[str, dict[str, object]]] = []
    nodes = {"a": (True, "2026-01-01T00:00:00")}
    studies = Studies(tmp_path)
    api = OperatorApi(
        studies,
        door,
        lambda: nodes,
        lambda kind, **fields: notes.append((kind, fields)),
        lambda: ("a", "b"),
    )

    def ask(
        who: object, method: str, path: str, body: bytes = b"", sites: str = ""
    ) -> httpx.Response:
        def build() -> httpx.Request:
            headers = {HEADER: header_for(who, method, path, body)}  # type: ignore[arg-type]
            headers |= {"fedvox-sites": sites} if sites else {}
            return httpx.Request(method, f"http://c{path}", content=body, headers=headers)

        return asyncio.run(_ask(api, build))

    study = dump_study(tiny("study.name=lungs")).encode()
    assert ask(eve, "POST", "/studies", study).status_code == 403
    assert ask(ann, "POST", "/studies", study).json()["state"] == "proposed"
    assert ask(eve, "POST", "/studies/lungs/start").status_code == 403
    assert ask(ann, "POST", "/studies/lungs/start").json()["state"] == "queued"
    assert ask(ann, "POST", "/studies/lungs/explode").status_code == 404
    assert "lungs" in ask(ann, "POST", "/studies/nope/start").json()["error"]
    assert ask(eve, "GET", "/sites").json()["sites"][0]["online"] is True
    assert ask(eve, "GET", "/studies").json()["studies"][0]["name"] == "lungs"
    assert ask(ann, "POST", "/studies", b"x" * (MOST_BYTES + 1)).status_code == 413
    assert ask(ann, "POST", "/studies", b"not toml [").status_code == 400
    kinds = [kind for kind, _ in notes]
    assert kinds == ["operator refused", "proposed", "operator refused", "start"]
    assert notes[1][1]["by"] == "ann"
    other = dump_study(tiny("study.name=other")).encode()
    typo = ask(ann, "POST", "/studies", other, sites="a,bb")
    assert typo.status_code == 400 and "did you mean 'b'" in typo.json()["error"]
    assert ask(ann, "POST", "/studies", other, sites=" b,a").json()["sites"][1]["name"] == "b"

    assert "no result yet: it is queued" in ask(eve, "GET", "/studies/lungs/result").text
    run = studies.run_folder("lungs")
    (run / "checkpoints").mkdir(parents=True)
    for name in ("rounds.jsonl", "study.toml", ".lock", "checkpoints/round-00001.safetensors"):
        (run / name).write_text(name)
    told = ask(eve, "GET", "/studies/lungs/result").json()
    assert told == {"state": "queued", "files": ["study.toml", "rounds.jsonl"]}
    assert ask(eve, "GET", "/studies/lungs/result/rounds.jsonl").text == "rounds.jsonl"
    for name in (".lock", "checkpoints/round-00001.safetensors", "../record.json", "x"):
        assert ask(eve, "GET", f"/studies/lungs/result/{name}").status_code >= 400, name


def test_a_study_that_is_resumed_takes_sites_back_that_joined_again(
    authority: Authority, tmp_path: Path
) -> None:
    import asyncio

    ann = authority.operator("ann", Rank.OPERATOR, tmp_path / "ann.pem")
    notes: list[tuple[str, dict[str, object]]] = []
    members = {"a": (True, "")}
    studies = Studies(tmp_path)
    api = OperatorApi(
        studies,
        doorman(authority, {"ann": Rank.OPERATOR}),
        lambda: members,
        lambda kind, **fields: notes.append((kind, fields)),
        lambda: (),
    )
    record = studies.propose(tiny("study.name=x"), "ann", ("a", "b"))
    studies.set(record, sites=(), excluded=("a", "b"), state=State.FAILED, problem="all gone")

    def resume() -> httpx.Response:
        headers = {HEADER: header_for(ann, "POST", "/studies/x/resume", b"")}
        request = httpx.Request("POST", "http://c/studies/x/resume", headers=headers)
        return asyncio.run(_ask(api, lambda: request))

    members.clear()
    refused = resume()
    assert refused.status_code == 400 and "invite one again first" in refused.text
    assert studies.get("x").state is State.FAILED
    members["b"] = (True, "")
    told = resume().json()
    assert told["state"] == "queued" and told["note"] == ""
    assert {site["name"]: site["state"] for site in told["sites"]} == {
        "b": "connected", "a": "revoked",
    }  # fmt: skip
    assert notes[0] == ("readmitted", {"study": "x", "sites": ["b"], "by": "ann"})


def test_without_a_coordinator_the_command_says_how_to_start_one(
    tmp_path: Path, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    authority.operator("ann", Rank.ADMIN, tmp_path / "operator.pem")
    assert main(["study", "list", "--home", str(tmp_path)]) == 1
    assert f"fedvox coordinator start {tmp_path}" in capsys.readouterr().err
