"""The one way through a ledger and an outbox, where the work or the outbox fails."""

from pathlib import Path

import pytest
from ledgers import WIDE, opened, rows, work

from fedvox.client.ledger.once import payload_once
from fedvox.client.ledger.work import Reservation
from fedvox.client.outbox import Outbox
from fedvox.common.errors import Refusal, SiteError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def test_a_failure_in_the_work_is_a_refusal_that_stays_charged(home: Path) -> None:
    outbox = Outbox(home / "outbox")
    failures: list[tuple[Exception, str]] = [
        (SiteError(Refusal.NOT_FINITE, "the loss"), "not-finite"),
        (MemoryError(), "resources"),
        (ZeroDivisionError(), "internal"),
    ]
    with opened(home, WIDE) as ledger:
        for number, (failure, decision) in enumerate(failures):

            def fail(_: Reservation, failure: Exception = failure) -> bytes:
                raise failure

            with pytest.raises(type(failure)):
                payload_once(ledger, outbox, work(number), fail)
            last = rows(home)[-1]
            assert (last["decision"], last["reservation"]) == (decision, last["sequence"] - 1)


def test_lost_bytes_are_never_made_again(home: Path) -> None:
    outbox = Outbox(home / "outbox")
    with opened(home, WIDE) as ledger:
        payload = payload_once(ledger, outbox, work(1), lambda _: b"first")
        assert payload_once(ledger, outbox, work(1), lambda _: b"second") == payload == b"first"
        for path in (home / "outbox").rglob("*.payload"):
            path.unlink()
        with pytest.raises(SiteError) as caught:
            payload_once(ledger, outbox, work(1), lambda _: b"third")
    assert caught.value.refusal is Refusal.INTERNAL
    assert [row["kind"] for row in rows(home)] == ["opened", "reserved", "released"]
