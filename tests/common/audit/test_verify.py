"""Coordinator and sites held against each other."""

import base64
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from parties import Authority

from fedvox.common.audit.log import AuditLog, read_log
from fedvox.common.audit.rounds import Closed, RoundRecord
from fedvox.common.audit.verify import Wrong, open_log, wrongs
from fedvox.common.cli import main
from fedvox.common.identity.certificates import pem_of
from fedvox.common.identity.keys import fingerprint, sign
from fedvox.common.receipt import Receipt

RECORD = RoundRecord(
    "s" * 64, 1, "i" * 64, "o" * 64, ("a", "b"), {"a": "u" * 64}, {"b": "hours"}, ()
)


class Both:
    """A coordinator and the site `a`, each with its log."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority()
        self.files = [folder / "coordinator.jsonl", folder / "a.jsonl"]
        self.coordinator, self.coordinator_key = self.authority.log("coordinator", self.files[0])
        self.site, self.site_key = self.authority.log("a", self.files[1])
        self.coordinator.append("began")
        self.site.append("began")
        chain = str(read_log(self.files[1])[0].fields["certificate"]).encode()
        self.site_papers = (chain, self.site_key)

    def send(self, update: str = "u" * 64) -> bytes:
        receipt = Receipt(RECORD.study_sha256, 1, RECORD.weights_in, update, "a")
        self.site.append("sent", **asdict(receipt))
        return sign(self.site_key, receipt.text)

    def close(self, record: RoundRecord, receipt: bytes, told: RoundRecord | None = None) -> None:
        receipts = {"a": base64.b64encode(receipt).decode()}
        self.coordinator.append("round", **asdict(record), receipts=receipts)
        closed = Closed.by(self.coordinator_key, told or record)
        self.site.append("closed", record=closed.packed)

    def wrongs(self) -> list[Wrong]:
        return wrongs([open_log(file, self.authority.root) for file in self.files])


def test_two_honest_logs_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = Both(tmp_path)
    both.close(RECORD, both.send())
    assert both.wrongs() == []
    root = tmp_path / "root.pem"
    root.write_bytes(pem_of([both.authority.root]))
    words = ["audit", "verify", *map(str, both.files), "--authority", str(root)]
    assert main(words) == 0
    assert capsys.readouterr().out.count("all hold") == 2


def test_an_update_the_site_never_sent(tmp_path: Path) -> None:
    both = Both(tmp_path)
    receipt = both.send("v" * 64)
    both.close(RECORD, receipt)
    (found,) = both.wrongs()
    assert (found.file, found.sequence) == (both.files[0], 3)
    assert "has not signed" in found.text


def test_an_update_that_the_site_signed_but_does_not_list(tmp_path: Path) -> None:
    both = Both(tmp_path)
    receipt = Receipt(RECORD.study_sha256, 1, RECORD.weights_in, "u" * 64, "a")
    both.close(RECORD, sign(both.site_key, receipt.text))
    (found,) = both.wrongs()
    assert "no entry of" in found.text


def test_a_round_told_otherwise_than_kept(tmp_path: Path) -> None:
    both = Both(tmp_path)
    both.close(RECORD, both.send(), told=replace(RECORD, weights_out="x" * 64))
    (found,) = both.wrongs()
    assert found.file == both.files[1] and "another record" in found.text


def test_the_command_names_the_first_wrong_entry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = Both(tmp_path)
    both.close(RECORD, both.send())
    text = both.files[1].read_text()
    both.files[1].write_text(text.replace('"round": 1', '"round": 2', 1))
    assert main(["audit", "verify", *map(str, both.files)]) == 1
    out = capsys.readouterr().out
    assert "a.jsonl: site a: entry 3" in out and "coordinator.jsonl" in out


@pytest.fixture
def three(tmp_path: Path) -> Both:
    """Three rounds; of the last the site was not told yet."""
    both = Both(tmp_path)
    for number in (1, 2, 3):
        update = f"{number}" * 64
        record = replace(RECORD, round=number, answered={"a": update})
        receipt = Receipt(RECORD.study_sha256, number, RECORD.weights_in, update, "a")
        both.site.append("sent", **asdict(receipt))
        signature = base64.b64encode(sign(both.site_key, receipt.text)).decode()
        both.coordinator.append("round", **asdict(record), receipts={"a": signature})
        if number < 3:
            both.site.append("closed", record=Closed.by(both.coordinator_key, record).packed)
    assert both.wrongs() == []
    return both


def verified(both: Both, *which: int) -> tuple[int, dict[str, list[int]]]:
    """The status of the command for one log or both, and the entries it names."""
    import io
    from contextlib import redirect_stdout

    out = io.StringIO()
    with redirect_stdout(out):
        status = main(["audit", "verify", *(str(both.files[n]) for n in which), "--json"])
    told = json.loads(out.getvalue())
    assert told["holds"] is (status == 0) and told["authority"] is None
    return status, {Path(x["file"]).stem: [w["entry"] for w in x["wrong"]] for x in told["logs"]}


@pytest.mark.parametrize("whose", [0, 1])
def test_a_changed_or_missing_line_is_named_also_by_one_side_alone(three: Both, whose: int) -> None:
    path, other = three.files[whose], three.files[1 - whose].stem
    lines = path.read_bytes().splitlines(keepends=True)
    for number in range(2, len(lines)):  # line `number` + 1
        changed = [*lines]
        changed[number] = lines[number].replace(b'"at": "20', b'"at": "19')
        path.write_bytes(b"".join(changed))
        assert verified(three, whose) == (1, {path.stem: [number + 1]})
        assert verified(three, 0, 1)[1][path.stem][0] == number + 1
        if number + 1 < len(lines):
            path.write_bytes(b"".join(lines[:number] + lines[number + 1 :]))
            status, named = verified(three, whose)
            assert status == 1 and named[path.stem][0] == number + 1, "the one that is missing"
    path.write_bytes(b"".join(lines))
    assert verified(three, 0, 1) == (0, {path.stem: [], other: []})


def test_a_tail_that_was_cut_off_shows_against_the_other_side(three: Both) -> None:
    coordinator, site = (path.read_bytes().splitlines(keepends=True) for path in three.files)
    three.files[1].write_bytes(b"".join(site[:-1]))  # the last update that was sent
    assert verified(three, 1) == (0, {"a": []}), "by itself it looks whole"
    assert verified(three, 0, 1) == (1, {"coordinator": [5], "a": []})
    three.files[1].write_bytes(b"".join(site))
    three.files[0].write_bytes(b"".join(coordinator[:3]))  # all rounds but the first
    assert verified(three, 0) == (0, {"coordinator": []})
    assert verified(three, 0, 1) == (1, {"coordinator": [], "a": [6]}), "it was told of round 2"
    three.files[0].write_bytes(b"".join(coordinator)[:-9])  # a line that was torn by a kill
    assert verified(three, 0)[0] == 0


def test_logs_of_anybody_are_no_proof(
    three: Both, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The root beside a log is used; without one that is said, and two do not go together."""
    assert main(["audit", "verify", *map(str, three.files)]) == 0
    assert "they may be anybody's" in capsys.readouterr().out
    (tmp_path / "identity").mkdir()
    root = tmp_path / "identity" / "ca.pem"
    root.write_bytes(pem_of([three.authority.root]))
    assert main(["audit", "verify", *map(str, three.files)]) == 0
    assert f"under the root {fingerprint(three.authority.root)}" in capsys.readouterr().out
    root.write_bytes(pem_of([Authority().root]))
    assert main(["audit", "verify", *map(str, three.files)]) == 2
    assert "its owner's certificate does not hold" in capsys.readouterr().err
    other = tmp_path / "b"
    (other / "identity").mkdir(parents=True)
    (other / "identity" / "ca.pem").write_bytes(pem_of([three.authority.root]))
    (other / "audit.jsonl").write_bytes(three.files[1].read_bytes())
    assert main(["audit", "verify", str(three.files[0]), str(other / "audit.jsonl")]) == 2
    assert "roots of several consortia" in capsys.readouterr().err


def test_a_sites_logs_count_together(tmp_path: Path) -> None:
    """A link and a trainer with users of their own each keep one."""
    both = Both(tmp_path)
    other = AuditLog(tmp_path / "trainer.jsonl", "a", *both.site_papers)
    other.append("work-begun")
    both.close(RECORD, both.send())
    both.files.append(tmp_path / "trainer.jsonl")
    assert both.wrongs() == []
