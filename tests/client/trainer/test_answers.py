from pathlib import Path

import pytest

from fedvox.client.contract.heads import ReplyHead
from fedvox.client.trainer.answers import Answer, Answers, Asked

STUDY = "a" * 64


def asked(number: int, weights: str = "w", split: str = "") -> Asked:
    return Asked(STUDY, number, weights, "evaluate" if split else "train", split)


def answer(number: int) -> Answer:
    head = ReplyHead("berlin", number, "w", 3, {"loss": 0.1}, {"a": 1})
    return Answer(head, {"update": bytes([number]) * 1000, "empty": b"", "control": b"c"})


def test_what_was_answered_is_answered_again(tmp_path: Path) -> None:
    Answers(tmp_path).put(asked(1), answer(1))
    again = Answers(tmp_path).get(asked(1))
    assert again == answer(1)
    assert again is not None
    assert again.size == 1001


def test_every_part_of_the_question_counts(tmp_path: Path) -> None:
    answers = Answers(tmp_path)
    answers.put(asked(1), answer(1))
    for other in (
        asked(2),
        asked(1, "v"),
        asked(1, split="test"),
        Asked("b" * 64, 1, "w", "train"),
    ):
        assert answers.get(other) is None
    answers.put(asked(1, split="test"), answer(2))
    assert answers.get(asked(1, split="validation")) is None
    assert answers.get(asked(1)) == answer(1)


def test_two_rounds_are_kept_and_older_ones_are_over(tmp_path: Path) -> None:
    answers = Answers(tmp_path)
    assert not answers.is_over(asked(1))
    for number in (1, 2, 3):
        answers.put(asked(number), answer(number))
    assert answers.get(asked(1)) is None
    assert answers.get(asked(2)) == answer(2)
    assert [answers.is_over(asked(n)) for n in (1, 2, 3, 4)] == [True, False, False, False]
    assert len(list(tmp_path.rglob("*.answer"))) == 2


@pytest.mark.parametrize("keep", [0, 4, 8, 100, -1])
def test_a_damaged_answer_is_none(tmp_path: Path, keep: int) -> None:
    answers = Answers(tmp_path)
    answers.put(asked(1), answer(1))
    (path,) = tmp_path.rglob("*.answer")
    path.write_bytes(path.read_bytes()[:keep])
    assert answers.get(asked(1)) is None
    answers.put(asked(1), answer(1))
    assert answers.get(asked(1)) == answer(1)


def test_a_changed_byte_of_the_tensors_is_noticed(tmp_path: Path) -> None:
    answers = Answers(tmp_path)
    answers.put(asked(1), answer(1))
    (path,) = tmp_path.rglob("*.answer")
    data = bytearray(path.read_bytes())
    data[-500] ^= 1
    path.write_bytes(data)
    assert answers.get(asked(1)) is None
