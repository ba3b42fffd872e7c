import json
import stat
from pathlib import Path

import pytest
from command import Said, fedvox, process
from cryptography import x509

from fedvox.common.audit.log import read_log
from fedvox.common.audit.verify import open_log, wrongs
from fedvox.common.identity.credentials import Credentials
from fedvox.common.identity.enrolment import EnrolmentAnswer, EnrolmentRequest
from fedvox.common.identity.keys import fingerprint, grouped, new_key
from fedvox.common.identity.kit import Kit


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "hub"
    said = fedvox("consortium", "init", home, "--name", "trial", "--address", "fl.example.org:8443")
    assert said.status == 0, said.err
    monkeypatch.setenv("FEDVOX_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    return home


def asked(*words: str | Path) -> Said:
    said = fedvox("consortium", *words)
    assert said.status == 0, said.err
    return said


def fields(*words: str | Path) -> dict[str, object]:
    out = asked(*words, "--json").out
    assert out.count("\n") == 1
    found: dict[str, object] = json.loads(out)
    return found


def test_init_says_what_is_compared_and_what_is_moved_away(tmp_path: Path) -> None:
    said = asked("init", "--home", tmp_path / "hub")
    own = Credentials.load(tmp_path / "hub/identity")
    assert grouped(own.authority) in said.out and grouped(own.fingerprint) in said.out
    assert f"Move {tmp_path / 'hub/authority/root.key'}" in said.out
    assert "Only this machine" in said.out
    admin = Credentials.load_bundle(tmp_path / "hub/operator.pem").identity
    assert (admin.name, admin.rank) == ("admin", "admin")


def test_it_works_on_without_the_roots_key(hub: Path) -> None:
    (hub / "authority/root.key").rename(hub.parent / "stick")
    asked("invite", "st-anna")
    said = fedvox("consortium", "rotate")
    assert said.status == 2 and "root.key: not found" in said.err
    before = Credentials.load(hub / "identity").authority
    fields("rotate", "--root-key", hub.parent / "stick")
    assert Credentials.load(hub / "identity").authority == before


def test_from_invitation_to_revocation(hub: Path) -> None:
    told = fields("invite", "st-anna", "--out", "a.kit", "--days", "3")
    kit = Kit.read(Path("a.kit"))
    assert (told["site"], told["kit"]) == ("st-anna", "a.kit")
    assert kit.authority == told["authority"] == Credentials.load(hub / "identity").authority
    assert stat.S_IMODE(Path("a.kit").stat().st_mode) == 0o600
    again = fedvox("consortium", "invite", "st-anna")
    assert again.status == 2 and "--again" in again.err
    asked("invite", "st-anna", "--again")
    assert Path("st-anna.kit").exists()
    assert "st-anna  invited" in asked("sites").out
    assert fields("revoke", "st-anna") == {"site": "st-anna", "revoked": True, "changed": True}
    (row,) = fields("sites")["sites"]  # type: ignore[misc, call-overload]
    assert (row["name"], row["state"]) == ("st-anna", "revoked")


def test_a_request_in_a_file_is_answered(hub: Path) -> None:
    asked("invite", "st-anna", "--out", "a.kit")
    kit, key = Kit.read(Path("a.kit")), new_key()
    Path("r.json").write_text(EnrolmentRequest.make("st-anna", key, kit.token).text())
    told = fields("sign", "r.json", "--out", "answer.json")
    assert (told["site"], told["fingerprint"]) == ("st-anna", fingerprint(key.public_key()))
    answer = EnrolmentAnswer.parse(Path("answer.json").read_bytes(), "answer")
    assert fingerprint(answer.chain[0]) == told["fingerprint"]
    replayed = fedvox("consortium", "sign", "r.json", "--out", "again.json")
    assert replayed.status == 2 and "answered before" in replayed.err
    assert not Path("again.json").exists()
    assert grouped(fingerprint(key.public_key())) in asked("sites").out


def test_operators(hub: Path) -> None:
    told = fields("operator", "otto", "--rank", "viewer", "--out", "otto.pem")
    assert told["fingerprint"] == Credentials.load_bundle(Path("otto.pem")).fingerprint
    assert fedvox("consortium", "operator", "eva").status == 2
    assert fields("operator", "otto", "--revoke")["changed"] is True


def test_every_act_is_in_a_log_that_holds(hub: Path) -> None:
    asked("invite", "st-anna")
    asked("operator", "otto", "--rank", "viewer")
    asked("revoke", "st-anna")
    log = hub / "audit.jsonl"
    kinds = [line.kind for line in read_log(log)]
    assert kinds == ["opened", "consortium-founded", "operator-admitted", "site-invited",
                     "operator-admitted", "site-revoked"]  # fmt: skip
    root = x509.load_pem_x509_certificate((hub / "authority/root.pem").read_bytes())
    assert wrongs([open_log(log, root)]) == []
    assert all("at this machine" in str(line.fields["by"]) for line in read_log(log)[1:])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("invite", "St Anna"), "cannot be the name"),
        (("invite", "a", "--out", "none/a.kit"), "there is no folder"),
        (("revoke", "nobody"), "no site"),
        (("sign", "none.json", "--out", "x"), "cannot be read"),
        (("init",), "never made over another"),
        (("sites", "--home", "elsewhere"), "not found"),
    ],
)
def test_what_cannot_be_done_is_one_line(hub: Path, words: tuple[str, ...], told: str) -> None:
    said = fedvox("consortium", *words)
    assert (said.status, said.err.count("\n")) == (2, 1) and told in said.err


def test_it_is_quick_and_prints_nothing_else(hub: Path) -> None:
    with process("consortium", "sites", "--json", FEDVOX_HOME=str(hub)) as running:
        out, err = running.communicate(timeout=30)
    assert (json.loads(out), err) == ({"sites": []}, "")
