"""The same bytes for the same work, or none; never others."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from ledgers import sha, work

from fedvox.client.ledger.work import WorkId
from fedvox.client.outbox import Outbox
from fedvox.common.errors import Refusal, SiteError


def held(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.payload"))


def refused(outbox: Outbox, which: WorkId, digest: str) -> str:
    with pytest.raises(SiteError) as caught:
        outbox.get(which, digest)
    assert caught.value.refusal is Refusal.INTERNAL
    return caught.value.detail


def test_what_was_put_is_what_is_got_also_later(tmp_path: Path) -> None:
    payload = bytes(range(256)) * 1000
    digest = Outbox(tmp_path).put(work().id, payload)
    assert digest == hashlib.sha256(payload).hexdigest()
    assert Outbox(tmp_path).get(work().id, digest) == payload
    assert Outbox(tmp_path).put(work().id, payload) == digest and len(held(tmp_path)) == 1


def test_no_work_gets_the_bytes_of_another(tmp_path: Path) -> None:
    outbox, which = Outbox(tmp_path), work(7).id
    digest = outbox.put(which, b"payload")
    others = (
        replace(which, round=8),
        replace(which, weights_sha256=sha("other")),
        replace(which, study_sha256=sha("other")),
        replace(which, purpose="evaluate"),
    )
    for other in others:
        assert "no longer kept" in refused(outbox, other, digest)
    refused(outbox, which, sha("never put"))


def test_a_later_attempt_does_not_take_the_place_of_the_first(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    first, second = outbox.put(work().id, b"first"), outbox.put(work().id, b"second")
    assert (outbox.get(work().id, first), outbox.get(work().id, second)) == (b"first", b"second")


@pytest.mark.parametrize("change", [b"", b"payloae", b"payload ", b"payloa"])
def test_damaged_bytes_are_not_sent(tmp_path: Path, change: bytes) -> None:
    outbox = Outbox(tmp_path)
    digest = outbox.put(work().id, b"payload")
    held(tmp_path)[0].write_bytes(change)
    assert "damaged" in refused(outbox, work().id, digest)
    held(tmp_path)[0].unlink()
    assert "no longer kept" in refused(outbox, work().id, digest)


def test_old_rounds_go_by_study_and_the_newest_stay(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    digests = {n: outbox.put(work(n).id, f"payload {n}".encode()) for n in (1, 2, 9, 10, 11)}
    twice = outbox.put(work(11).id, b"another attempt")
    other = outbox.put(work(1, "lung").id, b"lung")
    assert outbox.prune(sha("brain"), keep_rounds=2) == 3
    for number in (1, 2, 9):
        assert "no longer kept" in refused(outbox, work(number).id, digests[number])
    for number in (10, 11):
        assert outbox.get(work(number).id, digests[number]) == f"payload {number}".encode()
    assert outbox.get(work(11).id, twice) and outbox.get(work(1, "lung").id, other) == b"lung"
    assert outbox.prune(sha("brain"), keep_rounds=2) == 0
    assert outbox.prune(sha("brain"), keep_rounds=0) == 3
    assert outbox.prune(sha("unheard of"), keep_rounds=1) == 0


def test_nothing_half_written_is_left_or_served(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    digest = outbox.put(work().id, b"payload")
    path = held(tmp_path)[0]
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    path.rename(path.with_name(f".{path.name}.tmp"))  # as a process that was killed leaves it
    assert "no longer kept" in refused(outbox, work().id, digest)
    assert outbox.put(work().id, b"payload") == digest
    assert outbox.get(work().id, digest) == b"payload"
