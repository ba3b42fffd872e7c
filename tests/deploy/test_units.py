"""The systemd units: well formed, and as closed as they can be."""

from __future__ import annotations

import re
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest
from bundles import DEPLOY

UNITS = DEPLOY / "systemd"
OWN_USER = ("fedvox-coordinator", "fedvox-link", "fedvox-trainer")
SERVICES = (*OWN_USER, "fedvox-listen", "fedvox-monitor")
MOST_EXPOSED = {
    "fedvox-coordinator": 1.3, "fedvox-link": 1.2, "fedvox-trainer": 0.5, "fedvox-listen": 1.0,
    "fedvox-monitor": 1.1,
}  # fmt: skip
"""Of 10, by `systemd-analyze security`; below 2 counts as "OK", below 1 as "SAFE"."""


@pytest.fixture(autouse=True)
def analyser() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("NOT TESTED: systemd-analyze is missing; install the Debian package systemd")


def settings(name: str) -> list[tuple[str, str]]:
    """Keys and values of [Service], repeated ones too."""
    text = (UNITS / f"{name}.service").read_text().split("[Service]")[1].split("[Install]")[0]
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(key, value) for key, _, value in (line.partition("=") for line in lines)]


def exposure(unit: Path) -> float:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True, text=True, timeout=60, env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stderr
    return float(found[1])


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_is_no_more_exposed_than_it_was(name: str) -> None:
    assert exposure(UNITS / f"{name}.service") <= MOST_EXPOSED[name]


def test_the_figure_tells_an_open_unit_apart(tmp_path: Path) -> None:
    (tmp_path / "open.service").write_text("[Service]\nExecStart=/bin/true\n")
    assert exposure(tmp_path / "open.service") > 9


def test_the_units_are_well_formed(tmp_path: Path) -> None:
    for path in UNITS.glob("fedvox*"):
        text = path.read_text().replace("/opt/fedvox/current/bin", str(tmp_path / "bin"))
        (tmp_path / path.name).write_text(text)
    (tmp_path / "bin").mkdir()
    for program in ("python", "fedvox"):
        (tmp_path / "bin" / program).write_text("#!/bin/sh\n")
        (tmp_path / "bin" / program).chmod(0o755)
    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, sorted(tmp_path.glob("fedvox*")))],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    about_ours = [line for line in done.stderr.splitlines() if "fedvox" in line]
    assert done.returncode == 0 and not about_ours, done.stderr


def test_each_process_is_a_user_of_its_own() -> None:
    users = {name: dict(settings(name))["User"] for name in SERVICES}
    # Whose the images and records are: both go to them, and the trainer itself has no network.
    others = dict.fromkeys(("fedvox-listen", "fedvox-monitor"), "fedvox-trainer")
    assert users == {**{name: name for name in OWN_USER}, **others}
    assert {dict(settings(name))["Group"] for name in SERVICES} == {"fedvox"}


def test_the_trainer_has_no_network_and_says_so_itself() -> None:
    trainer = dict(settings("fedvox-trainer"))
    assert trainer["PrivateNetwork"] == "yes" and trainer["RestrictAddressFamilies"] == "AF_UNIX"
    words = trainer["ExecStart"].split()
    assert "--strict" in words and words[words.index("--allow-user") + 1] == "fedvox-link"


def values(name: str, key: str) -> list[str]:
    return " ".join(value for found, value in settings(name) if found == key).split()


def test_the_listener_and_the_monitor_talk_to_the_hospital_and_to_this_machine_only() -> None:
    for name in ("fedvox-listen", "fedvox-monitor"):
        assert values(name, "IPAddressDeny") == ["any"]
        hidden = values(name, "InaccessiblePaths")
        for other in ("link", "coordinator"):
            assert f"-/var/lib/fedvox/{other}" in hidden
    inside = {"localhost", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10"}
    assert set(values("fedvox-listen", "IPAddressAllow")) == inside
    assert values("fedvox-monitor", "IPAddressAllow") == ["localhost"]


def test_the_listener_sees_neither_the_ledger_nor_what_leaves() -> None:
    hidden = values("fedvox-listen", "InaccessiblePaths")
    for name in ("ledger", "outbox", "state", "studies"):
        assert f"-/var/lib/fedvox/trainer/{name}" in hidden
    assert "-/var/lib/fedvox/trainer/policy.toml" in values("fedvox-listen", "ReadOnlyPaths")
    text = (UNITS / "fedvox-listen.service").read_text()
    assert "ConditionPathExists=/etc/fedvox/listen.env" in text  # off until somebody says what


def test_the_monitor_sees_neither_images_nor_keys_and_writes_nothing() -> None:
    hidden = values("fedvox-monitor", "InaccessiblePaths")
    for name in ("data", "pacs", "outbox", "identity/key.pem", "identity/pseudonym.key"):
        assert f"-/var/lib/fedvox/trainer/{name}" in hidden
    assert not values("fedvox-monitor", "ReadWritePaths")


def test_nobody_sees_what_is_anothers() -> None:
    for name in OWN_USER:
        own, there = name.removeprefix("fedvox-"), dict(settings(name))
        hidden = there["InaccessiblePaths"]
        for other in {"coordinator", "link", "trainer"} - {own}:
            assert f"-/var/lib/fedvox/{other}" in hidden
        assert there["ReadWritePaths"].split()[0] == f"/var/lib/fedvox/{own}"


def test_only_who_computes_with_images_may_make_code_in_memory() -> None:
    closed = {name for name in SERVICES if dict(settings(name)).get("MemoryDenyWriteExecute")}
    assert closed == {"fedvox-coordinator", "fedvox-link", "fedvox-monitor"}


def test_nothing_reports_home() -> None:
    for name in SERVICES:
        told = " ".join(value for key, value in settings(name) if key == "Environment")
        for setting in (
            "FLWR_TELEMETRY_ENABLED=0", "FLWR_DISABLE_UPDATE_CHECK=1",
            "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION=1", "RAY_USAGE_STATS_ENABLED=0",
        ):  # fmt: skip
            assert setting in told.split(), name


def test_the_card_is_opened_and_nothing_else() -> None:
    drop_in = ConfigParser(strict=False, interpolation=None)
    drop_in.read(UNITS / "nvidia.conf")
    assert set(drop_in["Service"]) == {"privatedevices", "devicepolicy", "deviceallow"}
    lines = (UNITS / "nvidia.conf").read_text().splitlines()
    allowed = [line.partition("=")[2] for line in lines if line.startswith("DeviceAllow=")]
    assert allowed and all(value.startswith("char-nvidia") for value in allowed)
