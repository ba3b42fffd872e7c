"""A consortium of trainer processes trains the simulation's model, to the bit."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from command import fedvox
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from trainers import SETTINGS, approve, new_home, phantoms, trainer

from fedvox.client.contract.stub import RequestHead, TrainerStub
from fedvox.common.codec import decode, encode
from fedvox.common.messages import Reply
from fedvox.common.study import Study
from fedvox.common.tasks.task import initial_weights, task_for
from fedvox.common.wire import read_request, reply_message
from fedvox.server.conduct import conduct
from fedvox.simulations.inprocess import InProcessGrid

SITES = {"zurich": "phantom:1", "aachen": "phantom:2"}
"""In another order than the simulated sites, and under other names."""


def asking(stubs: Mapping[str, TrainerStub]) -> ClientApp:
    """Hands each node's messages to a trainer, as the link does."""
    app, order = ClientApp(), list(stubs.values())

    def handle(message: Message, context: Context) -> Message:
        asked = read_request(message)
        head = RequestHead(
            asked.kind, asked.study, asked.round, asked.weights_sha256, dict(asked.settings)
        )
        groups = {name: encode(arrays) for name, arrays in asked.arrays.items()}
        said, sent = order[int(context.node_config["partition-id"])].ask(head, groups, 120)
        arrays = {name: decode(data) for name, data in sent.items()}
        reply = Reply(
            said.site, said.round, said.weights_sha256, said.examples, arrays, said.figures,
            said.facts, said.refusal,
        )  # fmt: skip
        return reply_message(reply, message)

    app.query()(handle)
    app.train()(handle)
    app.evaluate()(handle)
    return app


@pytest.fixture
def stubs(tmp_path: Path) -> Iterator[dict[str, TrainerStub]]:
    with ExitStack() as stack:
        found = {}
        for site, data in SITES.items():
            home = new_home(tmp_path / site, data, site)
            found[site] = stack.enter_context(trainer(home))[1]
        yield found


def consortium(study: Study, stubs: Mapping[str, TrainerStub], folder: Path) -> str:
    folder.mkdir()
    for site in SITES:
        approve(folder.parent / site, study)
    with InProcessGrid(asking(stubs), len(stubs), 2) as grid:
        done = conduct(
            grid, study, folder, lambda: initial_weights(study), task_for(study).metrics,
            lambda event: None,
        )  # fmt: skip
    assert set(done.facts) == set(SITES)
    return done.model_sha256


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["fedavg", "scaffold"])
def test_its_model_is_the_simulations(
    stubs: dict[str, TrainerStub], tmp_path: Path, strategy: str
) -> None:
    settings = [f"strategy.name={strategy}"]
    settings += ["training.optimizer=sgd"] if strategy == "scaffold" else []
    words = [f"--set={setting}" for setting in (*SETTINGS, *settings)]
    assert fedvox("simulate", *words, "--out", tmp_path / "run").status == 0
    expected = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert consortium(phantoms(*settings), stubs, tmp_path / "c") in json.dumps(expected)
