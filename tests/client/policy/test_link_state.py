"""What the link says of itself reaches the people at the site, and grows old."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fedvox.client.contract.heads import LinkSaid
from fedvox.client.policy.link_state import SILENT_S, link_of, write_link

UNTIL = "2026-12-05T10:00:00+00:00"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path


def test_nobody_has_said_anything(home: Path) -> None:
    assert link_of(home).trouble == "the link does not run"
    (home / "run" / "link.json").write_text("{")
    assert link_of(home).trouble == "the link does not run"


def test_since_when_is_kept_while_it_stays_so(home: Path) -> None:
    write_link(home, LinkSaid(True, certificate_until=UNTIL))
    first = link_of(home)
    write_link(home, LinkSaid(True, certificate_until=UNTIL))
    assert link_of(home).trouble == "" and link_of(home).since == first.since
    time.sleep(0.01)
    write_link(home, LinkSaid(False, "Connection refused"))
    lost = link_of(home)
    assert lost.trouble == "the link is not connected to the coordinator: Connection refused"
    assert lost.since > first.since
    assert lost.certificate_until == UNTIL  # not forgotten with the connection


def test_a_link_that_is_silent_does_not_run(home: Path) -> None:
    write_link(home, LinkSaid(True))
    path = home / "run" / "link.json"
    told = json.loads(path.read_text())
    long_ago = datetime.now(UTC) - timedelta(seconds=SILENT_S + 1)
    path.write_text(json.dumps({**told, "heard": long_ago.isoformat()}))
    assert link_of(home).trouble == "the link does not run"
