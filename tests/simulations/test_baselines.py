from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from command import cached_in

from fedvox.client.site import Roster
from fedvox.client.training.learner import Learner
from fedvox.common.study import load_study
from fedvox.common.tasks.task import initial_weights, task_for
from fedvox.server.events import Event
from fedvox.simulations.baselines import POOLED, Baseline, run_baselines
from fedvox.simulations.consortium import Consortium, gather
from fedvox.simulations.resolve import resolve_study

WORDS = (
    "simulation.sites=2", "simulation.patients=6", "model.channels=[4, 8]",
    "training.batch_size=2", "training.device=cpu", "training.precision=fp32",
)  # fmt: skip
STEPS = {"site-1": 2, "site-2": 3}


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    torch.set_num_threads(1)
    with cached_in(tmp_path_factory.mktemp("cache")):
        study, source = resolve_study(None, WORDS)
        yield gather(study, source, workers=1)


def run(
    consortium: Consortium, folder: Path, workers: int = 1, steps: dict[str, int] | None = None
) -> tuple[dict[str, Baseline], list[Event]]:
    study, events = consortium.study, list[Event]()
    metrics, weights = task_for(study).metrics, initial_weights(study)
    found = run_baselines(
        consortium, steps or STEPS, weights, metrics, folder, workers, events.append
    )
    return found, events


def test_each_takes_as_many_steps_as_the_federation_did(
    consortium: Consortium, tmp_path: Path
) -> None:
    found, _ = run(consortium, tmp_path)
    assert {name: (b.steps, b.samples) for name, b in found.items()} == {
        POOLED: (5, 10), "site-1": (2, 4), "site-2": (3, 6),
    }  # fmt: skip
    for baseline in found.values():
        assert baseline.test is not None and set(baseline.test.sites) == {"site-1", "site-2"}
        assert baseline.as_record()["own"] == dict(baseline.test.sites.get(baseline.name, {}))


def test_a_site_alone_sees_its_own_images_only(
    consortium: Consortium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked of the store itself: which cases were read while a site trained alone."""
    roster = consortium.rosters["site-1"]
    alone = replace(consortium, rows=tuple(r for r in consortium.rows if r.site == "site-1"))
    read: list[str] = []
    get = type(consortium.store).get

    def noted(store: object, key: str) -> object:
        read.append(key)
        return get(store, key)  # type: ignore[arg-type]

    monkeypatch.setattr(type(consortium.store), "get", noted)
    run(alone, tmp_path, steps={"site-1": 9})
    assert set(read) <= {*roster.keys["train"], *roster.keys["test"]}
    assert set(roster.keys["train"]) <= set(read)


def test_workers_do_not_change_a_bit(consortium: Consortium, tmp_path: Path) -> None:
    one, _ = run(consortium, tmp_path / "1", workers=1)
    three, _ = run(consortium, tmp_path / "3", workers=3)
    assert [b.as_record() for b in one.values()] == [b.as_record() for b in three.values()]


def test_what_is_finished_is_not_trained_again(
    consortium: Consortium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, events = run(consortium, tmp_path)
    assert {event.kind for event in events} == {"baseline"}
    (tmp_path / "site-2.safetensors").write_bytes(b"damaged")
    trained: list[int] = []
    train = Learner.train

    def counted(learner: Learner, *args: object, **words: object) -> object:
        trained.append(1)
        return train(learner, *args, **words)  # type: ignore[arg-type]

    monkeypatch.setattr(Learner, "train", counted)
    again, _ = run(consortium, tmp_path)
    assert len(trained) == 1, "only the damaged one"
    assert [b.as_record() for b in again.values()] == [b.as_record() for b in first.values()]
    run(consortium, tmp_path, steps={"site-1": 2, "site-2": 4})
    assert len(trained) == 3, "site-2 and pooled took other steps"


def test_a_site_that_cannot_train_or_diverges_is_told(
    consortium: Consortium, tmp_path: Path
) -> None:
    only_tests = Roster({"test": consortium.rosters["site-1"].people["test"]})
    crippled = replace(consortium)
    crippled.__dict__["rosters"] = {**consortium.rosters, "site-1": only_tests}
    found, _ = run(crippled, tmp_path / "a")
    assert found["site-1"].test is None and "no training cases" in found["site-1"].problem
    wild = load_study(
        None, [*WORDS, "training.lr=1e30", "training.grad_clip=0.0"],
        {"task": {"classes": list(consortium.study.task.classes)}},
    )  # fmt: skip
    found, _ = run(replace(consortium, study=wild), tmp_path / "b")
    assert "not finite" in found[POOLED].as_record()["problem"]
