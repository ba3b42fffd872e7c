"""An update counts only with its site's signature, and a closed round is signed and kept."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from parties import Authority

from fedvox.common.audit.log import read_log
from fedvox.common.audit.rounds import Closed
from fedvox.common.identity.keys import new_key, sign, verify
from fedvox.common.messages import Reply
from fedvox.common.receipt import Receipt, update_sha256
from fedvox.server.admit import Code, Rejected
from fedvox.server.coordinator.witnessing import SignedRounds

STUDY, WEIGHTS = "5" * 64, "1" * 64
ARRAYS = {"update": {"w": np.ones(3, np.float32)}}


class Case:
    """A coordinator with one site."""

    def __init__(self, folder: Path) -> None:
        self.site_key = new_key()
        self.log, self.key = Authority().log("coordinator", folder / "audit.jsonl")
        self.keys = {"a": self.site_key.public_key()}
        self.rounds = SignedRounds(STUDY, self.log, self.key, self.keys.get, None)

    def reply(self, **changes: object) -> Reply:
        receipt = Receipt(STUDY, 1, WEIGHTS, update_sha256(ARRAYS), "a")
        text = base64.b64encode(sign(self.site_key, receipt.text)).decode()
        told = {"arrays": ARRAYS, "facts": {"receipt": text}, **changes}
        return Reply("a", 1, WEIGHTS, 1, **told)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"facts": {}},
        {"facts": {"receipt": "not base64!"}},
        {"facts": {"receipt": base64.b64encode(b"x" * 70).decode()}},
        {"arrays": {"update": {"w": np.zeros(3, np.float32)}}},
    ],
)
def test_an_update_that_was_not_signed_for_is_rejected(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    case = Case(tmp_path)
    with pytest.raises(Rejected) as error:
        case.rounds.check("a", case.reply(**changes))
    assert error.value.code is Code.RECEIPT


def test_a_receipt_of_another_site_or_round_does_not_do(tmp_path: Path) -> None:
    case = Case(tmp_path)
    with pytest.raises(Rejected):
        case.rounds.check("b", case.reply())
    reply = case.reply()
    with pytest.raises(Rejected):
        case.rounds.check("a", Reply("a", 2, WEIGHTS, 1, reply.arrays, {}, reply.facts))


def test_a_site_that_joined_again_signs_with_its_new_key(tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.rounds.check("a", case.reply())
    case.keys["a"] = new_key().public_key()
    with pytest.raises(Rejected):
        case.rounds.check("a", case.reply())
    case.site_key = new_key()
    case.keys["a"] = case.site_key.public_key()
    case.rounds.check("a", case.reply())


def test_a_closed_round_is_kept_and_told_signed(tmp_path: Path) -> None:
    case = Case(tmp_path)
    assert case.rounds.last_closed() == {}
    case.rounds.check("a", case.reply())
    line = {
        "round": 1, "weights_in": WEIGHTS, "weights_out": "2" * 64, "asked": ["a", "b"],
        "answered": ["a"], "refused": {"b": "hours"}, "late": [],
    }  # fmt: skip
    case.rounds.close(line)
    closed = Closed.parse(str(case.rounds.last_closed()["closed"]))
    assert closed is not None and verify(case.key.public_key(), closed.text, closed.signature)
    assert closed.record.answered == {"a": update_sha256(ARRAYS)}
    entry = read_log(tmp_path / "audit.jsonl")[-1].fields
    assert entry["kind"] == "round" and json.loads(str(entry["refused"])) == {"b": "hours"}
