"""What is remembered of series, and how."""

from collections import Counter
from pathlib import Path

import pytest

from fedvox.client.pacs.query import Series
from fedvox.client.pacs.reasons import Reason
from fedvox.client.pacs.record import Record, State
from fedvox.common.errors import ResourceError

ONE = Series("1.2.3", "1.2.3.4", 7)
TWO = Series("1.2.3", "1.2.3.5")


def test_a_series_goes_its_way(tmp_path: Path) -> None:
    record = Record(tmp_path, "d")
    assert record.found("study", "a", ONE) is State.FOUND
    assert record.found("study", "b", TWO) is State.FOUND
    assert record.missing() == [ONE, TWO]
    record.fetched("a", 7)
    record.failed("b", Reason.SLOW)
    assert record.is_fetched("a") and not record.is_fetched("b")
    assert record.missing() == [TWO]
    assert record.states() == Counter(fetched=1, failed=1)
    assert record.reasons() == Counter(slow=1)
    assert record.studies_fetched() == ["study"]
    record.ingested(["study"])
    assert record.found("study", "a", ONE) is State.INGESTED
    assert record.found("study", "b", TWO) is State.FAILED
    record.close()


def test_it_is_there_for_the_next_process_and_apart_for_another_dataset(tmp_path: Path) -> None:
    first = Record(tmp_path, "d")
    first.found("study", "a", ONE)
    first.fetched("a", 7)
    first.close()
    again, other = Record(tmp_path, "d"), Record(tmp_path, "e")
    assert again.found("study", "a", ONE) is State.FETCHED
    assert other.states() == Counter()
    assert other.found("study", "a", ONE) is State.FOUND


def test_no_uid_can_be_read_in_the_file(tmp_path: Path) -> None:
    record = Record(tmp_path, "d")
    uid = "1.2.276.0.7230010.3.1.4.1"
    record.found("study", "a", Series(uid, uid + ".5"))
    record.close()
    for path in (tmp_path / "pacs").iterdir():
        assert uid.encode() not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0


def test_a_file_that_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "pacs").mkdir()
    (tmp_path / "pacs" / "pull.sqlite").write_bytes(b"x" * 5000)
    with pytest.raises(ResourceError, match=r"pull\.sqlite"):
        Record(tmp_path, "d")
