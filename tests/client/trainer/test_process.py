"""A trainer process over its socket: asked, asked again, stopped, killed."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from trainers import approve, decide, groups, new_home, phantoms, train, trainer

from fedvox.client.contract.stub import ReplyHead, RequestHead, TrainerStub, TrainerUnavailable
from fedvox.client.policy.approvals import Decision
from fedvox.client.policy.progress import now_of, progress_of
from fedvox.client.site import Site
from fedvox.client.state import SiteState
from fedvox.client.trainer.data import open_holdings
from fedvox.client.training.learner import Learner
from fedvox.common.codec import encode
from fedvox.common.errors import InputError, Refusal, SiteError
from fedvox.common.messages import Request
from fedvox.common.study import Study, contract_hash, dump_study, study_hash
from fedvox.common.tasks.task import initial_weights
from fedvox.simulations.consortium import gather
from fedvox.simulations.sources import open_source

LONG = ("training.local_steps=400", "study.name=long")
"""Seconds of training: time to come in between."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_home(tmp_path_factory.mktemp("h"))


@pytest.fixture(scope="module")
def stub(home: Path) -> Iterator[TrainerStub]:
    with trainer(home) as (_, stub):
        yield stub


def simulated(study: Study, home: Path, number: int) -> bytes:
    """The update of the simulation's first site, in this process, from the initial weights."""
    consortium = gather(study, open_source("phantom", study), workers=1)
    state = SiteState(home, study_hash(study))
    site = Site(
        "site-1", consortium.rosters["site-1"], consortium.store, state, contract_hash(study)
    )
    weights = initial_weights(study)
    head = train(study, number, weights)
    request = Request("train", head.study, number, head.weights_sha256, arrays={"weights": weights})
    reply = site.answer(request, Learner(study))
    assert reply.refusal is None
    return encode(reply.arrays["update"])


def test_a_study_waits_until_somebody_approves_and_then_trains_as_the_simulation_does(
    home: Path, stub: TrainerStub, tmp_path: Path
) -> None:
    study = phantoms()
    describe = RequestHead("describe", dump_study(study))
    assert stub.ask(describe, {}, 30)[0].refusal is Refusal.WAITING
    decide(home, "phantom", Decision.APPROVE)
    said = stub.ask(describe, {}, 60)[0]
    assert said.refusal is None
    assert said.facts["patients_train"] == said.examples == 4
    weights = initial_weights(study)
    head, update = stub.ask(train(study, 1, weights), groups(weights), 60)
    assert (head.site, head.round, head.examples) == ("berlin", 1, 4)
    assert update["update"] == simulated(study, tmp_path, 1)
    again = stub.ask(train(study, 1, weights), groups(weights), 60)
    assert again == (head, update)
    tally = stub.ask(train(study, 1, weights, "evaluate"), groups(weights), 60)
    assert tally[0].refusal is None
    assert set(tally[1]) == {"tally"}
    done = progress_of(home, study_hash(study))
    assert (done.rounds, done.answers) == (1, 4)
    assert done.bytes_sent == 2 * len(update["update"]) + len(tally[1]["tally"])


def test_a_round_long_gone_is_refused(home: Path, stub: TrainerStub) -> None:
    study = phantoms("study.name=gone", "training.rounds=4")
    approve(home, study)
    weights = initial_weights(study)
    for number in (1, 2, 3):
        assert stub.ask(train(study, number, weights), groups(weights), 60)[0].refusal is None
    assert stub.ask(train(study, 1, weights), groups(weights), 60)[0].refusal is Refusal.OLD
    assert stub.ask(train(study, 2, weights), groups(weights), 60)[0].refusal is None


def in_background(
    stub: TrainerStub, head: RequestHead, sent: dict[str, bytes]
) -> tuple[threading.Thread, list[ReplyHead | Exception]]:
    answers: list[ReplyHead | Exception] = []

    def ask() -> None:
        try:
            answers.append(stub.ask(head, sent, 120)[0])
        except Exception as error:
            answers.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread, answers


def until_working(stub: TrainerStub, study: str) -> None:
    end = time.monotonic() + 60
    while stub.health().study != study:
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("how", ["a person", "the link"])
def test_work_in_hand_is_stopped_at_once_and_nothing_of_it_leaves(
    home: Path, stub: TrainerStub, how: str
) -> None:
    study = phantoms(*LONG, f"study.seed={3 if how == 'a person' else 4}")
    approve(home, study)
    weights, digest = initial_weights(study), study_hash(study)
    thread, answers = in_background(stub, train(study, 1, weights), groups(weights))
    until_working(stub, "long")
    now = now_of(home)
    assert now is not None
    assert (now.study, now.round, now.kind, now.is_running) == ("long", 1, "train", True)
    begun = time.monotonic()
    if how == "a person":
        decide(home, digest, Decision.STOP)
    else:
        assert not stub.cancel("0" * 64)
        assert stub.cancel(digest)
    thread.join(30)
    assert time.monotonic() - begun < 5
    (answer,) = answers
    assert isinstance(answer, ReplyHead)
    assert answer.refusal is Refusal.STOPPED
    assert not list((home / "outbox" / digest[:16]).glob("*"))
    assert not stub.health().working


def test_others_wait_for_their_turn(home: Path, stub: TrainerStub) -> None:
    first, second = phantoms(*LONG, "study.seed=5"), phantoms("study.name=short", "study.seed=5")
    for study in (first, second):
        approve(home, study)
    weights = initial_weights(first)
    thread, answers = in_background(stub, train(first, 1, weights), groups(weights))
    until_working(stub, "long")
    short = initial_weights(second)
    waiting, later = in_background(stub, train(second, 1, short), groups(short))
    end = time.monotonic() + 20
    while stub.health().waiting != 1:
        assert time.monotonic() < end
        time.sleep(0.01)
    decide(home, study_hash(first), Decision.STOP)
    thread.join(30)
    waiting.join(60)
    assert [answer.refusal for answer in answers if isinstance(answer, ReplyHead)] == [
        Refusal.STOPPED
    ]
    assert [answer.refusal for answer in later if isinstance(answer, ReplyHead)] == [None]


def memory_mb(home: Path) -> float:
    now = now_of(home)
    assert now is not None
    status = Path(f"/proc/{now.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def test_what_is_not_of_the_contract_is_refused_and_costs_nothing(
    home: Path, stub: TrainerStub
) -> None:
    study = phantoms("study.name=bad")
    approve(home, study)
    weights = initial_weights(study)
    head, before = train(study, 1, weights), memory_mb(home)
    for sent in ({"weights": b"no tensors"}, {}, {"weights": groups(weights)["weights"][:-8]}):
        assert stub.ask(head, sent, 30)[0].refusal is Refusal.WEIGHTS
    other = replace(head, weights_sha256="0" * 64)
    assert stub.ask(other, groups(weights), 30)[0].refusal is Refusal.WEIGHTS
    assert stub.ask(replace(head, study="[study"), {}, 30)[0].refusal is Refusal.STUDY
    with pytest.raises(SiteError) as caught:
        stub.ask(head, {str(n): b"x" for n in range(9)}, 30)
    assert caught.value.refusal is Refusal.WEIGHTS
    big = memoryview(bytes(900 << 20))  # over four bytes for each of the most parameters allowed
    assert stub.ask(head, {"weights": big}, 30)[0].refusal is Refusal.RESOURCES
    assert memory_mb(home) - before < 40
    assert stub.ask(head, groups(weights), 60)[0].refusal is None


def test_an_unsigned_policy_ends_everything_until_it_is_gone(home: Path, stub: TrainerStub) -> None:
    study = phantoms("study.name=policy")
    approve(home, study)
    weights = initial_weights(study)
    (home / "policy.toml").write_text("[training]\nmost_rounds = 5\n")
    try:
        assert stub.ask(train(study, 1, weights), groups(weights), 30)[0].refusal is Refusal.POLICY
    finally:
        (home / "policy.toml").unlink()
    assert stub.ask(train(study, 1, weights), groups(weights), 60)[0].refusal is None


def test_a_phantom_site_has_nothing_for_studies_of_other_data(
    home: Path, stub: TrainerStub
) -> None:
    study = phantoms("study.name=other")
    other = study.model_copy(update={"data": study.data.model_copy(update={"source": "msd:Heart"})})
    approve(home, other)
    assert stub.ask(RequestHead("describe", dump_study(other)), {}, 30)[0].refusal is Refusal.EMPTY


def test_killed_in_the_middle_and_asked_again_it_gives_the_undisturbed_bytes(
    tmp_path: Path,
) -> None:
    study = phantoms("training.local_steps=25")
    home, weights = new_home(tmp_path / "h"), initial_weights(study)
    approve(home, study)
    with trainer(home) as (process, stub):
        thread, answers = in_background(stub, train(study, 1, weights), groups(weights))
        until_working(stub, "phantom")
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        thread.join(30)
        assert isinstance(answers[0], TrainerUnavailable)
    assert not list(home.rglob("*.answer"))
    with trainer(home) as (process, stub):
        _, update = stub.ask(train(study, 1, weights), groups(weights), 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert update["update"] == simulated(study, tmp_path / "other", 1)


def test_one_trainer_a_home(home: Path, stub: TrainerStub) -> None:
    with trainer(home, wait=False) as (second, _):
        assert second.wait(60) == 2
    assert "another trainer works in this home" in (home / "trainer.log").read_text()
    assert stub.health().site == "berlin"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", "fedvox site ingest"),
        ("phantom:first", "have numbers"),
        ("phantoms:1", "did you mean 'phantom'"),
        ("phantom", "KIND:NAME"),
        ("dataset:absent", "absent"),
    ],
)
def test_without_data_there_is_no_trainer(tmp_path: Path, data: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_holdings(tmp_path, data)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a network namespace")
def test_told_to_be_strict_it_does_not_start_with_a_network(tmp_path: Path) -> None:
    home = new_home(tmp_path / "h")
    with trainer(home, "--strict", wait=False) as (process, _):
        if not any(Path("/sys/class/net").glob("e*")):
            pytest.skip("this machine has no network itself")
        assert process.wait(60) == 2
    assert "strict" in (home / "trainer.log").read_text()
