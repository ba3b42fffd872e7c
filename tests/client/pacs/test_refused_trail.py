"""Refusals in the site's audit log: there, few, and of nobody."""

from pathlib import Path
from typing import Any

from trainers import give_identity, new_home

from fedvox.client.pacs.refused import RefusedLog, Why
from fedvox.client.pacs.refused_trail import RefusedTrail
from fedvox.common.audit.log import read_log
from fedvox.common.audit.trail import FILE
from fedvox.common.errors import ResourceError

Entry = tuple[str, int]


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Kept:
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.broken = False

    def __call__(self, kind: str, fields: Any) -> None:
        if self.broken:
            raise ResourceError("the disk is full")
        assert kind == "pacs-refused" and set(fields) == {"why", "count"}
        self.entries.append((fields["why"], fields["count"]))


def test_the_first_at_once_the_others_together_and_seldom() -> None:
    kept, clock = Kept(), Clock()
    trail = RefusedTrail(kept, 600, clock)
    for _ in range(5):
        trail.note("tls")
    trail.note("calling-ae")
    assert kept.entries == [("tls", 1), ("calling-ae", 1)]
    clock.now_s += 599
    trail.note("tls")
    assert len(kept.entries) == 2
    clock.now_s += 1
    trail.note("tls")
    assert kept.entries[2:] == [("tls", 6)]
    trail.note("calling-ae")
    trail.note("tls")
    trail.close()
    assert kept.entries[3:] == [("calling-ae", 1), ("tls", 1)]
    trail.close()
    assert len(kept.entries) == 5


def test_what_could_not_be_entered_is_counted_on() -> None:
    kept, clock = Kept(), Clock()
    trail, kept.broken = RefusedTrail(kept, 600, clock), True
    trail.note("tls")
    trail.note("tls")
    kept.broken = False
    trail.close()
    assert kept.entries == [("tls", 2)]


def test_the_signed_log_has_numbers_and_no_peer(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    give_identity(home)
    log = RefusedLog(home)
    for number in range(200):
        log.add(Why.CALLING, "10.1.2.3", f"BROWN^ANN{number}")
    log.close()
    entries = [line.fields for line in read_log(home / FILE) if line.kind == "pacs-refused"]
    assert [(one["why"], one["count"]) for one in entries] == [
        ("calling-ae", 1),
        ("calling-ae", 199),
    ]
    text = (home / FILE).read_text()
    assert "BROWN" not in text and "10.1.2.3" not in text


def test_a_site_that_has_not_joined_has_no_such_log(tmp_path: Path) -> None:
    log = RefusedLog(tmp_path)
    log.add(Why.TLS, "10.1.2.3")
    log.close()
    assert not (tmp_path / FILE).exists() and log.count == 1
