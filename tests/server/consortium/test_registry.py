import multiprocessing
import sqlite3
import stat
from pathlib import Path

import pytest
from enrolment import consortium

from fedvox.common.errors import InputError, ResourceError
from fedvox.server.consortium.admission import invite
from fedvox.server.consortium.authority import Authority
from fedvox.server.consortium.registry import Registry


def registry_in(folder: Path) -> Registry:
    registry = Registry(folder)
    registry.create()
    return registry


def test_an_empty_one(tmp_path: Path) -> None:
    registry = registry_in(tmp_path)
    assert (registry.sites(), registry.operators(), registry.changes()) == ([], [], 0)
    assert registry.site("a") is None and registry.rank_of("a") is None
    assert stat.S_IMODE(registry.path.stat().st_mode) == 0o600


def test_a_serial_that_was_never_issued_counts_as_revoked(tmp_path: Path) -> None:
    assert registry_in(tmp_path).is_revoked("ab")


def test_changes_are_counted_when_they_are_done(tmp_path: Path) -> None:
    registry = registry_in(tmp_path)
    with registry.changing() as database:
        database.execute("INSERT INTO sites VALUES ('a', 'invited', NULL, 't', NULL, NULL)")
        assert registry.changes() == 0  # nobody else sees it before it is whole
    assert registry.changes() == 1 and registry.site("a") is not None
    with pytest.raises(KeyError), registry.changing() as database:
        database.execute("DELETE FROM sites")
        raise KeyError
    assert registry.changes() == 1 and registry.site("a") is not None


def test_who_looks_cannot_change(tmp_path: Path) -> None:
    registry = registry_in(tmp_path)
    with pytest.raises(ResourceError, match="cannot be used"), registry.reading() as database:
        database.execute("DELETE FROM sites")


def test_a_missing_damaged_or_later_registry_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="consortium init DIR"):
        Registry(tmp_path).sites()
    assert not (tmp_path / "registry.db").exists()
    registry = registry_in(tmp_path)
    with sqlite3.connect(registry.path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(InputError, match="version 99"):
        registry.sites()
    registry.path.write_bytes(b"no database" * 1000)
    with pytest.raises(ResourceError, match="is damaged"):
        registry.sites()


def _invite_many(home: Path, process: int) -> None:
    authority = Authority.open(home, lambda kind, fields: None, "a test")
    for number in range(10):
        invite(authority, f"site-{process}-{number}")


def test_several_processes_change_it_at_once(tmp_path: Path) -> None:
    hub = consortium(tmp_path / "hub", 8443)
    before = hub.authority.registry.changes()
    context = multiprocessing.get_context("fork")
    running = [context.Process(target=_invite_many, args=(hub.home, number)) for number in range(4)]
    for one in running:
        one.start()
    for one in running:
        one.join(60)
    assert [one.exitcode for one in running] == [0] * 4
    assert len(hub.authority.registry.sites()) == 40
    assert hub.authority.registry.changes() == before + 40
