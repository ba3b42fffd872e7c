import json
import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from federation import SITES, SmallSites, run, three_cases
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from small import tiny

from fedvox.client.app import client_app
from fedvox.client.site import Roster
from fedvox.common.arrays import add, sha256_of
from fedvox.common.errors import QuorumError
from fedvox.common.messages import Reply
from fedvox.common.tasks.task import initial_weights
from fedvox.common.wire import read_reply, reply_message
from fedvox.server.events import Event
from fedvox.server.rounds import choose


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def lines(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (home / "run/rounds.jsonl").read_text().splitlines()]


class Shuffled:
    """A grid whose answers come late and in a random order."""

    def __init__(self, grid: Grid, seed: int) -> None:
        self._grid = grid
        self._random = random.Random(seed)
        self._held: list[Message] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        self._held += self._grid.pull_messages(message_ids)
        if len(self._held) < len(list(message_ids)):
            return []
        self._random.shuffle(self._held)
        return [self._held.pop()]


def test_one_seed_gives_one_model_for_any_workers_and_any_order_of_replies(tmp_path: Path) -> None:
    study = tiny("training.evaluate_every=1")
    models = {
        run(study, tmp_path / "1", workers=1).model_sha256,
        run(study, tmp_path / "3", workers=3).model_sha256,
        run(study, tmp_path / "shuffled", wrap=lambda grid: Shuffled(grid, 4)).model_sha256,
    }
    assert len(models) == 1
    assert run(tiny("study.seed=1"), tmp_path / "other").model_sha256 not in models


def test_a_round_of_fedavg_is_the_weighted_mean_of_what_the_sites_sent(tmp_path: Path) -> None:
    study = tiny("training.rounds=1", "training.evaluate_every=0")
    updates: dict[str, Reply] = {}

    def keep(reply: Reply) -> None:
        if "update" in reply.arrays:
            updates[reply.site] = reply

    done = run(study, tmp_path, app=tampering(tmp_path, study, keep))
    total = sum(reply.examples for reply in updates.values())
    weights = initial_weights(study)
    mean = {
        name: sum(r.arrays["update"][name].astype(float) * r.examples for r in updates.values())
        / total
        for name in weights
    }
    for name, expected in add(weights, mean).items():
        np.testing.assert_allclose(done.state.weights[name], expected, atol=1e-7)
    (line,) = lines(tmp_path)
    assert line["answered"] == list(SITES)
    assert line["weights_in"] == sha256_of(weights)
    assert line["weights_out"] == done.model_sha256
    assert line["bytes_up"] > 0 and line["bytes_down"] > 0


@pytest.mark.parametrize(
    "settings",
    [
        ["strategy.name=fedavgm"],
        ["strategy.name=fedadam", "strategy.server_lr=0.01"],
        ["strategy.name=fedyogi", "strategy.server_lr=0.01"],
        ["strategy.name=fedadagrad", "strategy.server_lr=0.01"],
        ["strategy.name=fedprox"],
        ["strategy.name=fedbn"],
        ["strategy.name=ditto"],
        ["strategy.name=scaffold", "training.optimizer=sgd"],
        ["strategy.name=flower:FedMedian"],
        ["strategy.name=flower:FedAdam"],
        ["training.optimizer_state=keep", "strategy.weighting=uniform"],
    ],
    ids=lambda settings: settings[0].partition("=")[2],
)
def test_a_resumed_run_ends_with_the_bits_of_an_undisturbed_one(
    settings: list[str], tmp_path: Path
) -> None:
    study = tiny("training.rounds=3", *settings)
    undisturbed = run(study, tmp_path / "whole")

    class PowerLoss(Exception):
        pass

    def fail_in_round_three(event: Event) -> None:
        if event.kind == "trained" and event.round == 3:
            raise PowerLoss

    with pytest.raises(PowerLoss):
        run(study, tmp_path / "cut", watch=fail_in_round_three)
    assert len(lines(tmp_path / "cut")) == 2
    resumed = run(study, tmp_path / "cut")
    assert resumed.model_sha256 == undisturbed.model_sha256
    assert [line["round"] for line in lines(tmp_path / "cut")] == [1, 2, 3]
    assert resumed.test is not None and undisturbed.test is not None
    assert resumed.test.union == undisturbed.test.union


def tampering(home: Path, study: Any, change: Any) -> ClientApp:
    """The sites' ClientApp with something between it and the coordinator."""
    app, honest = ClientApp(), client_app(SmallSites(home, study))

    def handle(message: Message, context: Context) -> Message:
        reply = read_reply(honest(message, context))
        changed = change(reply)
        return reply_message(changed if isinstance(changed, Reply) else reply, message)

    for register in (app.query, app.train, app.evaluate):
        register()(handle)
    return app


def poisoned(reply: Reply) -> Reply:
    if reply.site != "north" or "update" not in reply.arrays:
        return reply
    update = {k: np.full_like(v, np.nan) for k, v in reply.arrays["update"].items()}
    return replace(reply, arrays={"update": update})


def test_a_bad_update_costs_its_sender_only(tmp_path: Path) -> None:
    study = tiny("participation.quorum=0.5")
    done = run(study, tmp_path, app=tampering(tmp_path, study, poisoned))
    assert [line["refused"] for line in lines(tmp_path)] == [{"north": "not-finite"}] * 2
    assert lines(tmp_path)[0]["answered"] == ["east", "west"]
    assert all(np.isfinite(w).all() for w in done.state.weights.values())


def test_below_the_quorum_the_round_is_not_closed_and_nothing_is_lost(tmp_path: Path) -> None:
    study = tiny("participation.quorum=1.0")
    with pytest.raises(QuorumError, match="round 1: 2 of 3 sites answered.*north: not-finite"):
        run(study, tmp_path, app=tampering(tmp_path, study, poisoned))
    assert run(study, tmp_path).model_sha256 == run(study, tmp_path / "whole").model_sha256


def test_a_site_that_fails_once_is_asked_again_within_the_round(tmp_path: Path) -> None:
    study, failures = tiny("participation.quorum=1.0"), [True]

    def flaky(reply: Reply) -> Reply:
        if reply.site == "west" and "update" in reply.arrays and failures:
            failures.pop()
            return poisoned(replace(reply, site="north"))
        return reply

    done = run(study, tmp_path, app=tampering(tmp_path, study, flaky))
    assert done.model_sha256 == run(study, tmp_path / "whole").model_sha256
    assert not lines(tmp_path)[0]["refused"]


def test_a_site_without_training_patients_is_not_asked_to_train(tmp_path: Path) -> None:
    study = tiny("participation.quorum=1.0")
    tests_only = Roster({"test": (("c5",),)})
    rosters = {site: three_cases(n) for n, site in enumerate(SITES)} | {"north": tests_only}
    done = run(study, tmp_path, sites=SmallSites(tmp_path, study, rosters))
    assert lines(tmp_path)[0]["asked"] == ["east", "west"]
    assert done.test is not None and set(done.test.sites) == set(SITES)


def test_a_deadline_closes_a_round_on_the_quorum_and_names_the_late(tmp_path: Path) -> None:
    study = tiny("training.rounds=1", "participation.quorum=0.6", "participation.deadline_s=0.5")

    class Silent:
        """West never answers a training request."""

        def __init__(self, grid: Grid) -> None:
            self._grid = grid

        def __getattr__(self, name: str) -> Any:
            return getattr(self._grid, name)

        def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
            found = self._grid.pull_messages(message_ids)
            return [
                m
                for m in found
                if not (read_reply(m).site == "west" and "update" in read_reply(m).arrays)
            ]

    run(study, tmp_path, wrap=Silent)
    assert lines(tmp_path)[0]["late"] == ["west"]
    assert lines(tmp_path)[0]["answered"] == ["east", "north"]


def test_the_sites_of_a_round_are_drawn_from_the_seed() -> None:
    study = tiny("participation.fraction=0.3")
    names = [f"s{n}" for n in range(10)]
    drawn = [choose(names, study, number) for number in range(1, 30)]
    assert all(len(sites) == 3 and sites == sorted(sites) for sites in drawn)
    assert drawn == [choose(names, study, number) for number in range(1, 30)]
    assert {site for sites in drawn for site in sites} == set(names)
