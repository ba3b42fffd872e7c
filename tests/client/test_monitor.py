"""The site's monitor tells the truth: each thing that can be wrong, and when none is."""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from trainers import give_identity, new_home, phantoms

from fedvox.client.contract.heads import LinkSaid
from fedvox.client.monitor import Monitor
from fedvox.client.policy.approvals import Approvals
from fedvox.client.policy.link_state import write_link
from fedvox.client.policy.progress import Now, note_answer, timestamp, write_now
from fedvox.common.errors import ResourceError
from fedvox.common.identity.certificates import utc_now
from fedvox.common.study import study_hash


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = new_home(tmp_path / "h")
    give_identity(home)
    (home / "run").mkdir()
    # This process: its command line names fedvox, or nothing here would.
    write_now(home, Now(os.getpid(), timestamp(), "berlin"))
    write_link(home, LinkSaid(True))
    return home


@pytest.fixture
def monitor(home: Path) -> Iterator[Monitor]:
    found = Monitor(home, 0)
    yield found
    found.stop()


def asked(monitor: Monitor, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{monitor.port}{path}", timeout=20) as said:
            return said.status, said.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def troubles(monitor: Monitor) -> list[str]:
    status, said = asked(monitor, "/health")
    told = json.loads(said)
    assert (status == 200) is told["healthy"] is (not told["troubles"])
    return list(told["troubles"])


def figures(monitor: Monitor) -> dict[str, float]:
    _, said = asked(monitor, "/metrics")
    return {name: float(value) for name, value in re.findall(r"^(fedvox_\S+) (\S+)$", said, re.M)}


def test_each_trouble_is_told_as_long_as_it_lasts(
    monitor: Monitor, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Now, "is_running", property(lambda self: self.pid == os.getpid()))
    assert troubles(monitor) == []
    write_link(home, LinkSaid(False, "localhost:1: Connection refused"))
    (said,) = troubles(monitor)
    assert "not connected" in said and "Connection refused" in said
    write_link(home, LinkSaid(True))
    write_now(home, Now(2**22 + 1, timestamp(), "berlin"))
    assert troubles(monitor) == ["the trainer does not run"]
    write_now(home, Now(os.getpid(), timestamp(), "berlin"))
    Approvals(home, lambda kind, fields: None).seen(phantoms(), admitted=False)
    (record,) = (home / "studies").glob("*.json")
    kept = record.read_bytes()
    record.write_bytes(kept[:-5])
    (said,) = troubles(monitor)
    assert "records" in said
    status, told = asked(monitor, "/metrics")
    assert status == 503 and "restore it" in told
    record.write_bytes(kept)
    assert troubles(monitor) == []


def test_the_certificate_is_the_one_that_the_link_shows(monitor: Monitor, home: Path) -> None:
    assert 0.9 < figures(monitor)["fedvox_site_certificate_days"] < 1.1  # that in this home
    later = utc_now().replace(year=utc_now().year + 1)
    write_link(home, LinkSaid(True, certificate_until=later.isoformat()))
    assert figures(monitor)["fedvox_site_certificate_days"] > 364
    write_link(home, LinkSaid(True, certificate_until="2020-01-01T00:00:00+00:00"))
    assert "the site's certificate has ended or cannot be read" in troubles(monitor)


def test_studies_are_counted(monitor: Monitor, home: Path) -> None:
    study = phantoms()
    Approvals(home, lambda kind, fields: None).seen(study, admitted=False)
    note_answer(home, study_hash(study), "train", 1, 1500, "")
    told, label = figures(monitor), f'{{study="{study.study.name}"}}'
    assert told["fedvox_site_studies_waiting"] == 1
    assert told[f"fedvox_site_rounds{label}"] == 1
    assert told[f"fedvox_site_bytes_sent{label}"] == 1500
    assert told["fedvox_site_connected"] == 1
    write_link(home, LinkSaid(False))
    assert figures(monitor)["fedvox_site_connected"] == 0


def test_it_is_on_this_machine_only_and_says_nothing_else(monitor: Monitor) -> None:
    assert asked(monitor, "/../etc/passwd")[0] == 404
    with pytest.raises(ResourceError, match="choose another"):
        Monitor(Path("/nowhere"), monitor.port)
