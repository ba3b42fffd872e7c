"""The image and the services: what can be said of them without an engine."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import yaml
from bundles import DEPLOY

from fedvox.common import __version__

FOLDER = DEPLOY / "docker"
DIRECTIVES = {
    "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "RUN", "USER", "WORKDIR",
}  # fmt: skip
"""Those that are used; ADD, which fetches and unpacks, is not among them."""
SERVICE_KEYS = {
    "cap_drop", "command", "deploy", "entrypoint", "environment", "image", "init", "logging",
    "network_mode", "pids_limit", "ports", "profiles", "read_only", "restart", "security_opt",
    "stop_grace_period", "tmpfs", "ulimits", "user", "volumes",
}  # fmt: skip
"""Keys of the Compose specification that are used; another is a slip of the pen."""
ROLES = {
    "coordinator": 10003,
    "link": 10001,
    "trainer": 10002,
    "trainer-gpu": 10002,
    "listen": 10002,
}


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", (FOLDER / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in lines]


def stage(number: int) -> list[tuple[str, str]]:
    starts = [i for i, (word, _) in enumerate(instructions()) if word == "FROM"]
    return instructions()[slice(starts[number], [*starts, None][number + 1])]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    return loaded


def test_every_line_is_an_instruction() -> None:
    assert {word for word, _ in instructions()} == DIRECTIVES
    assert [word for word, _ in instructions()].count("FROM") == 2


def test_the_base_is_one_release_of_one_system() -> None:
    base = dict(instructions())["ARG"] if instructions()[0][0] == "ARG" else ""
    base = instructions()[0][1].removeprefix("BASE=")
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm(@sha256:[0-9a-f]{64})?", base), base
    assert all(value.startswith("${BASE} AS ") for word, value in instructions() if word == "FROM")


def test_the_installation_has_no_network_and_a_fingerprint() -> None:
    (command,) = (value for word, value in stage(0) if word == "RUN" and "install.sh" in value)
    assert command.startswith("--network=none ")
    assert '--fingerprint "${FINGERPRINT}"' in command


def test_what_runs_holds_no_bundle_no_compiler_and_no_installer() -> None:
    text = " ".join(f"{word} {value}" for word, value in stage(1))
    assert "apt-get" not in text and "/bundle" not in text
    assert "COPY --from=install /opt/fedvox /opt/fedvox" in text


def test_nobody_runs_as_root(compose: dict[str, Any]) -> None:
    users = [value for word, value in stage(1) if word == "USER"]
    assert users == ["fedvox-link"]
    made = dict(
        re.findall(
            r"--uid (\d+) .*?(fedvox-\w+)(?: |$)",
            " ".join(v for w, v in stage(1) if w == "RUN").replace("&&", "\n"),
        )
    )
    owner = {"listen": "trainer"}
    assert {name: f"fedvox-{owner.get(name, name).partition('-')[0]}" for name in ROLES} == {
        name: made[compose["services"][name]["user"].split(":")[0]] for name in ROLES
    }
    assert {int(s["user"].split(":")[0]) for s in compose["services"].values()} == set(
        ROLES.values()
    )


def test_the_services_are_of_the_specification(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == set(ROLES)
    for service in compose["services"].values():
        assert set(service) <= SERVICE_KEYS
    named = {
        volume.partition(":")[0]
        for one in compose["services"].values()
        for volume in one["volumes"]
    }
    assert named == set(compose["volumes"])


def test_every_service_is_closed(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["image"] == f"fedvox:{__version__}", name
        assert service["ulimits"] == {"core": 0}, name
        assert "privileged" not in service and "environment" in service, name


def test_ports_are_the_coordinators_and_the_listeners_and_the_trainer_has_no_network(
    compose: dict[str, Any],
) -> None:
    services = compose["services"]
    assert {name for name, one in services.items() if "ports" in one} == {"coordinator", "listen"}
    alone = {name for name, one in services.items() if one.get("network_mode") == "none"}
    assert alone == {"trainer", "trainer-gpu"}
    # Whoever starts the listener without a word opens nothing to anybody.
    listen = services["listen"]
    assert listen["profiles"] == ["listen"]
    assert listen["ports"] == ["${LISTEN_ADDRESS:-127.0.0.1}:11112:11112"]
    words = listen["command"]
    assert words[words.index("--allow") + 1] == "${ALLOW:-NOBODY@127.0.0.1}"


def test_the_link_has_no_way_to_the_images(compose: dict[str, Any]) -> None:
    volumes = {name: one["volumes"] for name, one in compose["services"].items()}
    assert volumes["link"] == ["link:/var/lib/fedvox/link", "run:/var/lib/fedvox/run:ro"]
    assert not any("link" in volume for volume in volumes["trainer"])
    assert volumes["trainer"] == volumes["trainer-gpu"]
    assert volumes["listen"] == ["trainer:/var/lib/fedvox/trainer"]


def test_a_card_is_asked_for_by_its_profile_only(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert {name for name, one in services.items() if "deploy" in one} == {"trainer-gpu"}
    assert services["trainer-gpu"]["profiles"] == ["site-gpu"]
    assert set(services["link"]["profiles"]) == {"site", "site-gpu"}


def test_the_commands_are_those_of_the_units(compose: dict[str, Any]) -> None:
    for name in ("link", "trainer"):
        service = compose["services"][name]
        unit = (DEPLOY / "systemd" / f"fedvox-{name}.service").read_text()
        line = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
        assert line and shlex.split(line[1]) == [*service["entrypoint"], *service["command"]]
