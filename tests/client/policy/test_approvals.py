"""Who decides about a study, and what holds until somebody has."""

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from small import tiny

from fedvox.client.policy.approvals import Approvals, Decision, Record, State, stopped
from fedvox.client.policy.recording import Recorder
from fedvox.common.errors import InputError, Refusal, ResourceError, SiteError
from fedvox.common.study import study_hash

Told = list[tuple[str, dict[str, object]]]


def recorder(told: Told) -> Recorder:
    return lambda kind, fields: told.append((kind, dict(fields)))


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def approvals(tmp_path: Path, told: Told) -> Approvals:
    return Approvals(tmp_path, recorder(told))


EXPECTED = {
    # (before, decision): after; None: cannot be
    (State.WAITING, Decision.APPROVE): State.APPROVED,
    (State.WAITING, Decision.REJECT): State.REJECTED,
    (State.WAITING, Decision.PAUSE): None,
    (State.WAITING, Decision.RESUME): None,
    (State.WAITING, Decision.STOP): State.STOPPED,
    (State.APPROVED, Decision.APPROVE): State.APPROVED,
    (State.APPROVED, Decision.REJECT): None,
    (State.APPROVED, Decision.PAUSE): State.PAUSED,
    (State.APPROVED, Decision.RESUME): State.APPROVED,
    (State.APPROVED, Decision.STOP): State.STOPPED,
    (State.REJECTED, Decision.APPROVE): State.APPROVED,
    (State.REJECTED, Decision.REJECT): State.REJECTED,
    (State.REJECTED, Decision.PAUSE): None,
    (State.REJECTED, Decision.RESUME): None,
    (State.REJECTED, Decision.STOP): None,
    (State.PAUSED, Decision.APPROVE): State.APPROVED,
    (State.PAUSED, Decision.REJECT): None,
    (State.PAUSED, Decision.PAUSE): State.PAUSED,
    (State.PAUSED, Decision.RESUME): State.APPROVED,
    (State.PAUSED, Decision.STOP): State.STOPPED,
    (State.STOPPED, Decision.APPROVE): State.APPROVED,
    (State.STOPPED, Decision.REJECT): None,
    (State.STOPPED, Decision.PAUSE): None,
    (State.STOPPED, Decision.RESUME): State.APPROVED,
    (State.STOPPED, Decision.STOP): State.STOPPED,
}
WAY = {
    State.WAITING: [],
    State.APPROVED: [Decision.APPROVE],
    State.REJECTED: [Decision.REJECT],
    State.PAUSED: [Decision.APPROVE, Decision.PAUSE],
    State.STOPPED: [Decision.STOP],
}


@pytest.mark.parametrize(("before", "decision"), itertools.product(State, Decision))
def test_every_decision_from_every_state(
    approvals: Approvals, before: State, decision: Decision
) -> None:
    study = tiny()
    approvals.seen(study, admitted=False)
    for step in WAY[before]:
        approvals.decide(study.study.name, step, "anna")
    expected = EXPECTED[before, decision]
    if expected is None:
        with pytest.raises(InputError, match=str(before)):
            approvals.decide(study.study.name, decision, "bert")
        expected = before
    else:
        assert approvals.decide(study.study.name, decision, "bert").state is expected
    assert approvals.seen(study, admitted=False).state is expected


def test_what_a_study_is_told_in_each_state() -> None:
    refusals = {s: Record("h", "n", "t", "", s).refusal for s in State}
    assert refusals == {
        State.WAITING: Refusal.WAITING,
        State.APPROVED: None,
        State.REJECTED: Refusal.STOPPED,
        State.PAUSED: Refusal.PAUSED,
        State.STOPPED: Refusal.STOPPED,
    }


def test_one_other_number_and_it_is_another_study_that_waits(approvals: Approvals) -> None:
    approvals.seen(tiny(), admitted=False)
    approvals.decide(study_hash(tiny()), Decision.APPROVE, "anna")
    other = tiny("training.lr=0.0079")
    assert approvals.seen(other, admitted=False).state is State.WAITING
    with pytest.raises(InputError, match="several"):
        approvals.decide(other.study.name, Decision.APPROVE, "anna")
    assert approvals.decide(study_hash(other)[:8], Decision.REJECT, "anna").state is State.REJECTED


def test_what_the_policy_admits_runs_as_long_as_it_does(approvals: Approvals, told: Told) -> None:
    study = tiny()
    assert approvals.seen(study, admitted=True).refusal is None
    assert approvals.seen(study, admitted=False).refusal is Refusal.WAITING
    assert approvals.seen(study, admitted=True).refusal is None
    approvals.decide(study.study.name, Decision.APPROVE, "anna")
    assert approvals.seen(study, admitted=False).refusal is None
    approvals.decide(study.study.name, Decision.STOP, "anna")
    assert approvals.seen(study, admitted=True).refusal is Refusal.STOPPED
    states = [(f["state"], f["by"]) for kind, f in told if kind == "study-decided"]
    assert states == [
        ("approved", "policy"), ("waiting", ""), ("approved", "policy"), ("approved", "anna"),
        ("stopped", "anna"),
    ]  # fmt: skip


def test_a_study_is_found_by_name_or_hash_and_nothing_else(approvals: Approvals) -> None:
    with pytest.raises(InputError, match="none has asked"):
        approvals.find("phantom")
    approvals.seen(tiny(), admitted=False)
    digest = study_hash(tiny())
    assert approvals.find("phantom") == approvals.find(digest) == approvals.find(digest[:4])
    for wrong in ("phantoms", digest[:3], "../x", ""):
        with pytest.raises(InputError, match="no study"):
            approvals.find(wrong)


def test_a_damaged_record_is_no_approval(approvals: Approvals, tmp_path: Path) -> None:
    study = tiny()
    approvals.seen(study, admitted=False)
    approvals.decide(study.study.name, Decision.APPROVE, "anna")
    (path,) = (tmp_path / "studies").glob("*.json")
    ended = stopped(tmp_path, study_hash(study))
    assert not ended()
    good = path.read_text()
    for damage in ("", "{}", good[:-20], good.replace('"approved"', '"approves"')):
        path.write_text(damage)
        with pytest.raises(ResourceError):
            approvals.seen(study, admitted=True)
        assert stopped(tmp_path, study_hash(study))()
    path.unlink()
    assert ended()


def test_a_flood_of_studies_does_not_fill_the_disk(approvals: Approvals, tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    plain = {
        "name": "n",
        "study": "",
        "first_seen": "",
        "state": "waiting",
        "by": "",
        "decided": "",
    }
    for number in range(200):
        path = tmp_path / "studies" / f"{number:064x}.json"
        path.write_text(json.dumps({"study_sha256": f"{number:064x}", **plain}))
    with pytest.raises(SiteError) as caught:
        approvals.seen(tiny(), admitted=False)
    assert caught.value.refusal is Refusal.WAITING
    assert len(list((tmp_path / "studies").glob("*.json"))) == 200


def test_many_at_once_begin_one_record(tmp_path: Path, told: Told) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda _: Approvals(tmp_path, recorder(told)).seen(tiny(), False), range(32))
        )
    assert len({record.first_seen for record in found}) == 1
    assert [kind for kind, _ in told] == ["study-seen"]
