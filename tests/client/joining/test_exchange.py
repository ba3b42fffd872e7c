"""Joining where the network is not open: two files, carried by people."""

import json
from pathlib import Path

import pytest
from command import Said, fedvox

from fedvox.client.settings import SiteSettings
from fedvox.common.identity.credentials import Credentials
from fedvox.common.identity.kit import Kit


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    done(fedvox("consortium", "init", "hub", "--address", "fl.example.org:8443"))
    done(fedvox("consortium", "invite", "st-anna", "--home", "hub", "--out", "a.kit"))
    return tmp_path / "site"


def done(said: Said) -> Said:
    assert said.status == 0, said.err
    return said


def site(home: Path, *words: str) -> Said:
    return fedvox("site", "join", "a.kit", "--home", home, *words)


def sign(request: str, answer: str) -> Said:
    return fedvox("consortium", "sign", request, "--home", "hub", "--out", answer)


def test_request_and_answer(home: Path) -> None:
    asked = json.loads(done(site(home, "--request", "r.json", "--json")).out)
    assert asked["outcome"] == "requested" and not (home / "site.toml").exists()
    done(sign("r.json", "answer.json"))
    told = json.loads(done(site(home, "--answer", "answer.json", "--data", "x:1", "--json")).out)
    own = Credentials.load(home / "identity")
    assert told["fingerprint"] == asked["fingerprint"] == own.fingerprint
    settings = SiteSettings.load(home)
    assert (settings.addresses, settings.data) == (("fl.example.org:8443",), "x:1")
    assert "already joined" in done(site(home)).out


def test_what_is_carried_holds_no_secret(home: Path) -> None:
    done(site(home, "--request", "r.json"))
    key = (home / "identity/joining.pem").read_text().splitlines()[1]
    for path in (Path("r.json"),):
        text = path.read_text()
        assert Kit.read(Path("a.kit")).token not in text and key not in text
        assert "PRIVATE" not in text
    done(sign("r.json", "answer.json"))
    assert "PRIVATE" not in Path("answer.json").read_text()


def test_a_lost_file_is_made_again_and_the_last_answer_holds(home: Path) -> None:
    for number in (1, 2):
        done(site(home, "--request", f"{number}.json"))
        done(sign(f"{number}.json", f"{number}.answer"))
    done(site(home, "--answer", "1.answer"))
    done(site(home, "--answer", "2.answer"))
    assert Credentials.load(home / "identity").identity.name == "st-anna"


def test_answers_of_others_are_refused(home: Path, tmp_path: Path) -> None:
    done(site(home, "--request", "r.json"))
    done(site(tmp_path / "other", "--request", "o.json"))
    done(sign("o.json", "o.answer"))
    said = site(home, "--answer", "o.answer")
    assert said.status == 2 and "not for this site's key" in said.err
    assert not (home / "site.toml").exists()
    assert "used before" in sign("r.json", "r.answer").err
    for name, content in (("empty", ""), ("list", "[]"), ("none", None)):
        if content is not None:
            Path(name).write_text(content)
        assert site(home, "--answer", name).status == 2


def test_an_answer_of_another_consortium_is_refused(home: Path) -> None:
    done(site(home, "--request", "r.json"))
    done(fedvox("consortium", "init", "evil"))
    done(fedvox("consortium", "invite", "st-anna", "--home", "evil", "--out", "e.kit"))
    said = fedvox("consortium", "sign", "r.json", "--home", "evil", "--out", "e.answer")
    assert said.status == 2 and "not known here" in said.err
    done(sign("r.json", "good.answer"))
    answer = json.loads(Path("good.answer").read_text())
    answer["root"] = Path("evil/authority/root.pem").read_text()
    Path("mixed.answer").write_text(json.dumps(answer))
    said = site(home, "--answer", "mixed.answer")
    assert said.status == 2 and "another fingerprint" in said.err
