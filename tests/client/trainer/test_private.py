"""A study that protects patients, at a trainer that is killed: charged once, sent once."""

import signal
import threading
import time
from pathlib import Path

from trainers import approve, groups, new_home, phantoms, train, trainer

from fedvox.client.contract.stub import TrainerUnavailable
from fedvox.client.ledger.entry import Kind
from fedvox.client.ledger.places import places
from fedvox.client.ledger.verify import look
from fedvox.common.errors import Refusal
from fedvox.common.study import study_hash
from fedvox.common.tasks.task import initial_weights

PRIVATE = ("privacy.mode=patient", "privacy.noise_multiplier=20.0", "training.local_steps=8")


def kinds(home: Path) -> list[str]:
    (place,) = places(home)
    found = look(place)
    assert not found.findings
    return [str(link.entry["kind"]) for link in found.links]


def until_charged(home: Path) -> None:
    end = time.monotonic() + 60
    while not places(home) or kinds(home)[-1] != Kind.RESERVED:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_round_is_charged_once_however_often_it_is_begun(tmp_path: Path) -> None:
    """Cancelled by the link, then killed, then done, then asked for again."""
    study = phantoms(*PRIVATE)
    home, weights = new_home(tmp_path / "h"), initial_weights(study)
    approve(home, study)
    head, sent = train(study, 1, weights), groups(weights)
    answers: list[Refusal | TrainerUnavailable | None] = []

    def ask() -> None:
        try:
            answers.append(stub.ask(head, sent, 60)[0].refusal)
        except TrainerUnavailable as error:
            answers.append(error)

    with trainer(home) as (process, stub):
        thread = threading.Thread(target=ask)
        thread.start()
        until_charged(home)
        assert stub.cancel(study_hash(study))
        thread.join(30)
        assert answers == [Refusal.STOPPED]
        thread = threading.Thread(target=ask)
        thread.start()
        while not stub.health().working:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        thread.join(30)
        assert isinstance(answers[1], TrainerUnavailable)
    assert kinds(home) == [Kind.OPENED, Kind.RESERVED]
    with trainer(home) as (_, stub):
        first = stub.ask(head, sent, 120)
        assert first[0].refusal is None
        assert {"epsilon", "noise_multiplier"} <= first[0].figures.keys()
        assert "loss" not in first[0].figures
        assert stub.ask(head, sent, 60) == first
        evaluated = stub.ask(train(study, 1, weights, "evaluate"), sent, 60)[0]
        assert evaluated.refusal is Refusal.PRIVACY
    assert kinds(home) == [Kind.OPENED, Kind.RESERVED, Kind.RELEASED]
