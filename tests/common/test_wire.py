import pickle
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from fedvox.common.codec import CodecError
from fedvox.common.errors import Refusal
from fedvox.common.messages import Reply, Request
from fedvox.common.wire import Payload, read_reply, read_request, reply_message, request_content

WEIGHTS = {"w": np.arange(4, dtype=np.float32)}
REQUEST = Request("train", "[study]", 3, "abc", {"split": "test"}, {"weights": WEIGHTS})


@pytest.fixture(autouse=True)
def _identity() -> None:
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1


def message_of(request: Request = REQUEST) -> Message:
    return Message(request_content(request), dst_node_id=2, message_type="train")


def over_the_network(content: RecordDict) -> RecordDict:
    """What arrives: every array rebuilt from bytes, as Flower's transports do it."""
    for name, record in list(content.array_records.items()):
        content[name] = ArrayRecord(
            {k: Array.inflate(a.deflate(), dict(a.children)) for k, a in record.items()}
        )
    return content


def test_a_request_reads_back_in_process_without_any_serialisation() -> None:
    message = message_of()
    back = read_request(message)
    assert replace(back, arrays={}) == replace(REQUEST, arrays={})
    assert back.arrays["weights"]["w"] is WEIGHTS["w"]
    assert message.content["arrays.weights"]["payload"].__dict__["encoded"] is None


def test_a_request_reads_back_after_a_network() -> None:
    message = Message(
        over_the_network(request_content(REQUEST)), dst_node_id=2, message_type="train"
    )
    back = read_request(message)
    np.testing.assert_array_equal(back.arrays["weights"]["w"], WEIGHTS["w"], strict=True)
    assert back.settings == {"split": "test"}


def test_a_payload_pickles_as_an_ordinary_array() -> None:
    back = pickle.loads(pickle.dumps(Payload(WEIGHTS)))
    assert type(back) is Array
    assert back.data == Payload(WEIGHTS).data


def test_a_reply_reads_back_with_figures_and_refusal() -> None:
    reply = Reply("site-1", 3, "abc", 7, {"update": WEIGHTS}, {"loss": 0.5}, {"contract": "c"})
    back = read_reply(reply_message(reply, message_of()))
    assert replace(back, arrays={}) == replace(reply, arrays={})
    assert back.arrays["update"]["w"] is WEIGHTS["w"]
    refused = Reply("site-1", refusal=Refusal.EMPTY)
    assert read_reply(reply_message(refused, message_of())).refusal is Refusal.EMPTY


def test_what_is_no_message_of_ours_is_refused_without_its_content() -> None:
    with pytest.raises(CodecError, match="not a request"):
        read_request(Message(RecordDict(), dst_node_id=2, message_type="train"))
    content = request_content(REQUEST)
    content["arrays.weights"] = ArrayRecord({"payload": Array(np.ones(3))})
    with pytest.raises(CodecError, match="another format"):
        read_request(Message(content, dst_node_id=2, message_type="train"))
