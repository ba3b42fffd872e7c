"""The machine: what is exposed, and that a check which fails is red."""

from pathlib import Path

import pytest
from trainers import give_identity, new_home

from fedvox.client.check import machine
from fedvox.client.check.finding import Check, Level, about, look_at, worst
from fedvox.client.check.visit import Visit
from fedvox.common.errors import Refusal, SiteError


def level(home: Path, name: str) -> tuple[Level, str]:
    (check,) = [check for check in machine.CHECKS if check.name == f"machine.{name}"]
    (line,) = look_at(Visit(home), [check])
    return line.finding.level, line.finding.text


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("identity/key.pem", 0o640),
        ("identity/pseudonym.key", 0o604),
        ("site.toml", 0o644),
        ("policy.toml", 0o666),
        ("identity/chain.pem", 0o646),
        ("identity", 0o777),
        ("data", 0o755),
        ("data", 0o720),
        ("pacs", 0o701),
    ],
)
def test_what_others_may_read_or_change_is_red(tmp_path: Path, path: str, mode: int) -> None:
    home = new_home(tmp_path / "home")
    home.chmod(0o700)
    give_identity(home)
    for name in ("identity/pseudonym.key", "policy.toml"):
        (home / name).touch()
        (home / name).chmod(0o600)
    for name in ("data", "pacs"):
        (home / name).mkdir(mode=0o700, exist_ok=True)
        (home / name).chmod(0o750)  # a group that a person made may read
    assert level(home, "permissions")[0] is Level.GREEN
    (home / path).chmod(mode)
    found, text = level(home, "permissions")
    assert found is Level.RED and path in text
    (home / path).chmod(0o700)
    home.chmod(0o755)
    assert level(home, "permissions")[0] is Level.YELLOW


def test_versions_are_held_against_what_the_release_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert level(tmp_path, "packages")[0] is Level.GREEN
    assert level(tmp_path, "python")[0] is Level.GREEN
    real = machine.version
    monkeypatch.setattr(machine, "version", lambda name: "0.1" if name == "monai" else real(name))
    found, text = level(tmp_path, "packages")
    assert found is Level.RED and "monai 0.1, needs" in text


def test_a_disk_that_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_NO_DISK_GIB", 1e9)
    assert level(tmp_path / "not" / "there", "disk")[0] is Level.RED
    monkeypatch.setattr(machine, "_NO_DISK_GIB", 0.0)
    monkeypatch.setattr(machine, "_LITTLE_DISK_GIB", 1e9)
    assert level(tmp_path, "disk")[0] is Level.YELLOW


def test_memory_is_read(tmp_path: Path) -> None:
    assert machine.memory_bytes("MemTotal") > machine.memory_bytes("MemAvailable") > 1 << 20
    assert level(tmp_path, "processor")[0] is not Level.RED


def test_what_cannot_be_looked_at_is_red_and_the_rest_is_looked_at(tmp_path: Path) -> None:
    def broken(visit: Visit) -> None:
        raise ValueError("/home/of/somebody")

    def refused(visit: Visit) -> None:
        raise SiteError(Refusal.EMPTY, "patient P-1")

    checks = [Check("a", broken), Check("b", refused), Check("c", lambda visit: None)]
    lines = look_at(Visit(tmp_path), [*checks, *machine.CHECKS])
    assert [line.name for line in lines[:2]] == ["a", "b"] and len(lines) > 6
    assert worst(lines) is Level.RED
    assert lines[0].finding.shared == "could not be looked at"
    assert (
        lines[1].finding.shared == Refusal.EMPTY.sentence and lines[1].finding.text == "patient P-1"
    )


def test_counts_are_told_roughly() -> None:
    assert [about(count) for count in (0, 4, 5, 28, 123)] == [
        "fewer than 5", "fewer than 5", "about 5", "about 25", "about 100",
    ]  # fmt: skip
