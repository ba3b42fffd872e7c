"""The commands as people and scripts use them."""

import json
from pathlib import Path

import pytest
from command import fedvox
from small import tiny
from trainers import give_identity

from fedvox.client.policy.approvals import Approvals
from fedvox.client.policy.load import parse_policy
from fedvox.client.policy.progress import Now, note_answer, write_now
from fedvox.client.policy.rules import Policy
from fedvox.common.audit.log import read_log
from fedvox.common.identity.credentials import Credentials
from fedvox.common.identity.keys import verify
from fedvox.common.study import dump_study, study_hash


def last_json(out: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(out.splitlines()[-1])
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    Approvals(tmp_path, lambda kind, fields: None).seen(tiny(), admitted=False)
    return tmp_path


def test_a_policy_from_the_first_word_to_a_verdict(tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text(dump_study(tiny("training.rounds=30")))
    shown = fedvox("site", "policy", "show", "--home", tmp_path)
    assert shown.status == 0
    assert "every study waits for a person" in shown.out
    assert fedvox("site", "policy", "init", "--home", tmp_path).status == 0
    again = fedvox("site", "policy", "init", "--home", tmp_path)
    assert (again.status, "is there already" in again.err) == (2, True)
    unsigned = fedvox("site", "policy", "show", "--home", tmp_path, "--json")
    assert unsigned.status == 1
    assert last_json(unsigned.out)["valid"] is False
    refused = fedvox("site", "policy", "test", study, "--home", tmp_path)
    assert refused.status == 2
    assert "policy sign" in refused.err
    give_identity(tmp_path)
    path = tmp_path / "policy.toml"
    path.write_text(path.read_text().replace("most_rounds = 1000", "most_rounds = 29"))
    assert fedvox("site", "policy", "sign", "--home", tmp_path).status == 0
    tried = fedvox("site", "policy", "test", study, "--home", tmp_path, "--patients", "40")
    assert tried.status == 1
    assert "NO  training.most_rounds" in tried.out
    assert "30 rounds; at most 29" in tried.out
    told = last_json(fedvox("site", "policy", "test", study, "--home", tmp_path, "--json").out)
    assert (told["allowed"], told["admitted"]) == (False, False)
    verdicts = told["verdicts"]
    assert isinstance(verdicts, list)
    assert [v["rule"] for v in verdicts if not v["passed"]] == ["training.most_rounds"]


def test_a_study_through_the_hands_of_a_person(home: Path) -> None:
    listed = fedvox("site", "studies", "--home", home)
    assert "phantom" in listed.out
    assert "waiting" in listed.out
    assert fedvox("site", "studies", "--home", home, "--text", "phantom").out == dump_study(tiny())
    wrong = fedvox("site", "approve", "fantom", "--home", home)
    assert (wrong.status, "did you mean 'phantom'?" in wrong.err) == (2, True)
    by_policy = fedvox("site", "approve", "phantom", "--home", home, "--by", "policy")
    assert by_policy.status == 2
    for action, state in (
        ("approve", "approved"), ("pause", "paused"), ("resume", "approved"), ("stop", "stopped"),
    ):  # fmt: skip
        said = fedvox(
            "site", action, study_hash(tiny())[:10], "--home", home, "--by", "anna", "--json"
        )
        assert said.status == 0
        told = last_json(said.out)
        assert (told["state"], told["by"]) == (state, "anna")
    rejected = fedvox("site", "reject", "phantom", "--home", home)
    assert (rejected.status, "is stopped" in rejected.err) == (2, True)


def test_every_decision_is_in_the_audit_log_by_the_sites_key(home: Path) -> None:
    give_identity(home)
    for action in ("approve", "pause", "stop"):
        assert fedvox("site", action, "phantom", "--home", home, "--by", "anna").status == 0
    lines = read_log(home / "audit.jsonl")
    decided = [line.fields for line in lines if line.kind == "study-decided"]
    assert [(f["state"], f["by"]) for f in decided] == [
        ("approved", "anna"), ("paused", "anna"), ("stopped", "anna"),
    ]  # fmt: skip
    key = Credentials.load(home / "identity").key.public_key()
    assert all(verify(key, line.link.hash.encode(), line.signature) for line in lines)


def test_what_was_done_and_sent_is_counted(home: Path) -> None:
    digest = study_hash(tiny())
    note_answer(home, digest, "describe", 0, 0, "")
    note_answer(home, digest, "train", 1, 1500, "")
    note_answer(home, digest, "train", 1, 1500, "")  # again: sent twice, done once
    note_answer(home, digest, "evaluate", 1, 200, "")
    note_answer(home, digest, "train", 2, 0, "hours")
    told = last_json(fedvox("site", "studies", "--home", home, "--json").out)
    (item,) = told["studies"]  # type: ignore[misc]
    assert (item["rounds_done"], item["rounds"], item["answers"], item["bytes_sent"]) == (
        1,
        2,
        4,
        3200,
    )
    assert item["last_refusal"] == "hours"
    assert item["epsilon"] is None
    assert "3.2 kB" in fedvox("site", "studies", "--home", home).out


def test_now_says_what_runs_only_while_it_does(home: Path) -> None:
    assert "DOES NOT RUN" in fedvox("site", "now", "--home", home).out
    (home / "run").mkdir()
    write_now(
        home, Now(pid=2**22 + 1, started="2026-11-21T10:00:00", site="berlin", study="phantom")
    )
    said = fedvox("site", "now", "--home", home)
    assert "THE TRAINER DOES NOT RUN" in said.out
    assert "nothing has left this site" in said.out
    assert "waiting for a person: phantom" in said.out
    told = last_json(fedvox("site", "now", "--home", home, "--json").out)
    assert (told["running"], told["now"], told["waiting"]) == (False, None, ["phantom"])


def test_rules_may_be_given_at_once(tmp_path: Path) -> None:
    rules = ("--set", "training.most_rounds=50", "--set", "cohort.release=counts")
    wrong = fedvox("site", "policy", "init", "--home", tmp_path, "--set", "training.most_round=5")
    assert wrong.status == 2 and "most_rounds" in wrong.err, "the nearest name is told"
    assert fedvox("site", "policy", "init", "--home", tmp_path, *rules).status == 0
    written = parse_policy((tmp_path / "policy.toml").read_text())
    assert (written.training.most_rounds, written.cohort.release) == (50, "counts")
    assert written.training.most_local_steps == Policy().training.most_local_steps
