"""The list of reasons is complete, short, and says nothing of anybody."""

import re

import pytest

from fedvox.client.ingest.reasons import Quarantined, Reason


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_says_what_happened_and_what_to_do(reason: Reason) -> None:
    assert re.fullmatch(r"[a-z][a-z-]+", reason)
    for text in (reason.sentence, reason.remedy):
        assert 10 < len(text) <= 100
        assert not re.search(r"[/{}%\d]", text)


def test_sentences_differ() -> None:
    assert len({reason.sentence for reason in Reason}) == len(Reason)


def test_the_detail_stays_out_of_the_message() -> None:
    quarantined = Quarantined(Reason.UNREADABLE, "/home/export/DOE^JANE/1.dcm")
    assert str(quarantined) == Reason.UNREADABLE.sentence
    assert "DOE" not in repr(quarantined)
