"""Lines are chained, signed and durable; a torn one is cut; any changed byte is found."""

import json
import multiprocessing
from pathlib import Path

import pytest
from parties import Authority

from fedvox.common.audit.log import AuditLog, read_log
from fedvox.common.audit.verify import open_log, wrongs
from fedvox.common.errors import InputError


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def test_a_log_begins_with_its_owner_and_goes_on_after_a_restart(
    tmp_path: Path, authority: Authority
) -> None:
    path = tmp_path / "audit.jsonl"
    log, key = authority.log("site-a", path)
    log.append("joined", consortium="lungs")
    AuditLog(path, "site-a", b"", key).append("sent", round=1, asked=["b", "a"])
    lines = read_log(path)
    assert [line.kind for line in lines] == ["opened", "joined", "sent"]
    assert lines[2].fields["asked"] == '["b","a"]'
    assert path.stat().st_mode & 0o777 == 0o600
    assert wrongs([open_log(path, authority.root)]) == []


def test_what_a_killed_process_left_of_a_line_is_cut_off(
    tmp_path: Path, authority: Authority
) -> None:
    path = tmp_path / "audit.jsonl"
    log, _ = authority.log("site-a", path)
    log.append("one")
    whole = path.read_bytes()
    for torn in (b"{", whole.splitlines()[1][:80], whole.splitlines()[1]):
        path.write_bytes(whole + torn)
        assert len(read_log(path)) in (2, 3)
        log.append("two")
        assert [line.kind for line in read_log(path)] == ["opened", "one", "two"]
        assert wrongs([open_log(path, None)]) == []


def test_every_changed_byte_of_a_line_is_found(tmp_path: Path, authority: Authority) -> None:
    path = tmp_path / "audit.jsonl"
    log, _ = authority.log("site-a", path)
    for number in range(3):
        log.append("sent", round=number)
    raw = path.read_bytes()
    start = raw.index(b"\n") + 1
    third = raw.index(b"\n", raw.index(b"\n", start) + 1)
    for at in range(start, third, 7):
        if raw[at : at + 1] in b' "{},:\n':
            continue
        changed = bytearray(raw)
        changed[at] = ord("1") if raw[at] != ord("1") else ord("2")
        path.write_bytes(changed)
        try:
            found = wrongs([open_log(path, None)])
        except InputError:
            continue
        assert found and found[0].sequence in (2, 3), f"byte {at}"


def test_another_key_and_another_root_are_found(tmp_path: Path, authority: Authority) -> None:
    path = tmp_path / "audit.jsonl"
    log, _ = authority.log("site-a", path)
    log.append("one")
    _, foreign = authority.log("site-b", tmp_path / "other")
    AuditLog(path, "site-a", b"", foreign).append("forged")
    (found,) = wrongs([open_log(path, authority.root)])
    assert found.sequence == 3 and "not signed by site-a" in found.text
    with pytest.raises(InputError, match="does not hold"):
        open_log(path, Authority().root)


def _append(path: Path, key_of: AuditLog, kind: str) -> None:
    for number in range(20):
        key_of.append(kind, number=number)


def test_processes_append_in_turn(tmp_path: Path, authority: Authority) -> None:
    path = tmp_path / "audit.jsonl"
    log, _ = authority.log("coordinator", path)
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=_append, args=(path, log, f"w{n}")) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert len(read_log(path)) == 61
    assert wrongs([open_log(path, authority.root)]) == []


def test_a_file_that_is_no_log_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for text in ("hello\nthere\n", json.dumps({"sequence": 1}) + "\n" + "x\n"):
        path.write_text(text)
        with pytest.raises(InputError, match="line 1 is not"):
            read_log(path)
    path.write_text("")
    with pytest.raises(InputError, match="does not begin"):
        open_log(path, None)
