import pickle
from pathlib import Path

import pytest
from federation import SmallSites
from flwr.app import ConfigRecord, Context, Message, RecordDict
from small import tiny

from fedvox.client import app as module
from fedvox.client.app import client_app
from fedvox.common.arrays import sha256_of
from fedvox.common.errors import Refusal
from fedvox.common.messages import Reply, Request
from fedvox.common.study import Study, dump_study
from fedvox.common.tasks.task import initial_weights
from fedvox.common.wire import MESSAGE_TYPES, read_reply, request_content
from fedvox.simulations.inprocess import InProcessGrid


@pytest.fixture(autouse=True)
def _identity() -> None:
    InProcessGrid(module.app, 1, 1)  # Flower wants to know whose messages these are


def context(**node: int) -> Context:
    return Context(1, 2, dict(node), RecordDict(), {})


def request(study: Study, kind: str = "train") -> Request:
    weights = initial_weights(study)
    return Request(
        kind, dump_study(study), 1, sha256_of(weights), {"split": "test"}, {"weights": weights}
    )  # type: ignore[arg-type]


def ask(app: object, asked: Request | RecordDict, kind: str, where: Context) -> Reply:
    content = asked if isinstance(asked, RecordDict) else request_content(asked)
    message = Message(content, dst_node_id=2, message_type=MESSAGE_TYPES[kind])  # type: ignore[index]
    return read_reply(app(message, where))  # type: ignore[operator]


@pytest.mark.parametrize("kind", ["describe", "train", "evaluate"])
def test_each_kind_of_request_is_answered(kind: str, tmp_path: Path) -> None:
    study = tiny()
    app = client_app(SmallSites(tmp_path, study))
    reply = ask(app, request(study, kind), kind, context(**{"partition-id": 1}))
    assert (reply.site, reply.refusal) == ("north", None)
    group = {"train": "update", "evaluate": "tally"}.get(kind)
    assert (group in reply.arrays) if group else reply.facts["patients_train"] == 2


def test_what_cannot_be_answered_is_refused_by_a_code(tmp_path: Path) -> None:
    study = tiny()
    app, here = client_app(SmallSites(tmp_path, study)), context(**{"partition-id": 0})
    nonsense = RecordDict({"request": ConfigRecord({"kind": "dance"})})
    assert ask(app, nonsense, "train", here).refusal == Refusal.WEIGHTS
    broken = Request("train", "[training]\nrounds = -1", 1, "")
    assert ask(app, broken, "train", here).refusal == Refusal.STUDY
    other = request(tiny("data.window=[0.0, 1.0]"))
    assert ask(app, other, "train", here).refusal == Refusal.CONTRACT
    nobody = ask(app, request(study), "train", context(**{"partition-id": 9}))
    assert nobody.refusal == Refusal.INTERNAL and not nobody.arrays


def test_of_a_failure_only_the_code_leaves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def site(self, context: Context, study: Study) -> object:
            raise OSError("/data/patients/doe^john.nii is gone")

    app = client_app(Broken())  # type: ignore[arg-type]
    content = request_content(request(tiny()))
    answer = app(Message(content, dst_node_id=2, message_type="train"), context())
    assert read_reply(answer).refusal == Refusal.INTERNAL
    assert "doe^john" not in str(answer.content) and "doe^john" in caplog.text


def test_a_node_that_is_no_part_of_a_simulation_refuses() -> None:
    assert ask(module.app, request(tiny()), "train", context()).refusal == Refusal.INTERNAL


def test_the_app_can_be_sent_to_another_process(tmp_path: Path) -> None:
    from ray import cloudpickle

    study = tiny()
    here = context(**{"partition-id": 0})
    ask(module.app, request(study), "train", here)
    assert isinstance(cloudpickle.loads(cloudpickle.dumps(module.app)), type(module.app))
    assert pickle.dumps(module._SimulatedSites())
