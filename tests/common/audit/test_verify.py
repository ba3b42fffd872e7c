"""Coordinator and sites held against each other."""

import base64
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from parties import Authority

from fedvox.common.audit.log import AuditLog, read_log
from fedvox.common.audit.rounds import Closed, RoundRecord
from fedvox.common.audit.verify import Wrong, open_log, wrongs
from fedvox.common.cli import main
from fedvox.common.identity.keys import sign
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
    from fedvox.common.identity.certificates import pem_of

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


def test_a_sites_logs_count_together(tmp_path: Path) -> None:
    """A link and a trainer with users of their own each keep one."""
    both = Both(tmp_path)
    other = AuditLog(tmp_path / "trainer.jsonl", "a", *both.site_papers)
    other.append("work-begun")
    both.close(RECORD, both.send())
    both.files.append(tmp_path / "trainer.jsonl")
    assert both.wrongs() == []
