"""The way to a real coordinator, and every way in which it can be barred."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from command import Said, cached_in, fedvox
from enrolment import consortium as new_consortium
from enrolment import free_port, serving
from trainers import give_identity

from fedvox.client.check import network
from fedvox.client.check.calling import Call
from fedvox.client.check.finding import Level, look_at
from fedvox.client.check.visit import Visit
from fedvox.client.contract.heads import LinkSaid
from fedvox.client.policy.link_state import write_link
from fedvox.client.settings import SiteSettings
from fedvox.common.identity.certificates import utc_now
from fedvox.common.identity.kit import Kit
from fedvox.simulations.local.consortium import LocalConsortium

STUDY = (
    "simulation.sites=2", "simulation.patients=6", "training.local_steps=2", "training.rounds=2",
    "model.channels=[4, 8]", "training.precision=fp32",
)  # fmt: skip


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalConsortium]:
    """A coordinator that answers, and a phantom site that has joined."""
    with LocalConsortium(tmp_path_factory.mktemp("c") / "QX1ZKJ", ["north"]) as consortium:
        consortium.found()
        yield consortium


def levels(visit: Visit) -> dict[str, Level]:
    return {line.name: line.finding.level for line in look_at(visit, network.CHECKS)}


def check(*words: str | Path) -> tuple[Said, dict[str, dict[str, str]]]:
    said = fedvox("site", "check", *words, "--json")
    found = json.loads(said.out.splitlines()[-1])["findings"]
    return said, {one["check"]: one for one in found}


def test_a_site_in_a_running_consortium_is_ready(running: LocalConsortium, tmp_path: Path) -> None:
    home, study, shared = running.home_of("north"), tmp_path / "study.toml", tmp_path / "s.txt"
    study.write_text("")
    words = [word for setting in STUDY for word in ("--set", setting)]
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    with cached_in(tmp_path / "cache"):
        said, found = check(study, *words, "--home", home, "--share", shared)
    assert said.status == 0, said.out
    yellow = {name for name, one in found.items() if one["level"] != "green"}
    assert yellow - {"machine.gpu"} == {"policy.approval"}, found  # a GPU may be there or not
    for name in ("tls", "certificate", "clock", "names", "tcp", "joined"):
        assert found[f"network.{name}"]["level"] == "green", found
    assert "s a step" in found["trial.step"]["found"]
    assert "a round of 2 steps" in found["trial.round"]["found"]
    # Nothing was charged, sent, decided or written down.
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before
    text = shared.read_text()
    for secret in (str(home), "QX1ZKJ", "127.0.0.1", str(running.port), "s0001-p"):
        assert secret not in text
    assert "north" in text and "fewer than 5 to train on" in text


def test_without_a_study_machine_network_and_data(running: LocalConsortium) -> None:
    said, found = check("--home", running.home_of("north"))
    assert said.status == 0 and "network.tls" in found and "data.source" in found
    assert not any(name.startswith(("trial", "data.patients")) for name in found)


def test_before_joining_the_kit_is_enough(running: LocalConsortium, tmp_path: Path) -> None:
    kit = running.folder / "north.kit"
    visit = Visit(tmp_path / "none", kit=Kit.read(kit))
    found = levels(visit)
    assert found["network.tls"] is Level.GREEN and found["network.joined"] is Level.YELLOW
    assert "network.certificate" not in found
    other = replace(Kit.read(kit), authority="0" * 64)
    (line,) = [
        line for line in look_at(Visit(tmp_path, kit=other), network.CHECKS)
        if line.name == "network.tls"
    ]  # fmt: skip
    assert line.finding.level is Level.RED and "another fingerprint" in line.finding.text


def moved(running: LocalConsortium, *addresses: str, **changes: str) -> Visit:
    """The site, told of other addresses."""
    visit = Visit(running.home_of("north"))
    settings = SiteSettings.load(visit.home)
    visit.__dict__["settings"] = replace(settings, addresses=addresses, **changes)
    return visit


def test_addresses_that_do_not_answer(running: LocalConsortium) -> None:
    good = f"127.0.0.1:{running.port}"
    dead = f"127.0.0.1:{free_port()}"
    found = levels(moved(running, dead))
    assert found["network.tcp"] is found["network.tls"] is Level.RED
    visit = moved(running, dead)
    (line,) = look_at(visit, [check for check in network.CHECKS if check.name == "network.tls"])
    assert "network.tcp first" in line.finding.remedy  # not: somebody opens TLS
    found = levels(moved(running, dead, good))
    assert found["network.tcp"] is found["network.tls"] is Level.YELLOW
    found = levels(moved(running, "no-such-host.invalid:443"))
    assert found["network.names"] is Level.RED


def test_another_consortium_is_not_ours(running: LocalConsortium, tmp_path: Path) -> None:
    port = free_port()
    with serving(new_consortium(tmp_path / "other", port), port):
        visit = moved(running, f"127.0.0.1:{port}")
        found = levels(visit)
        (line,) = look_at(visit, [check for check in network.CHECKS if check.name == "network.tls"])
    assert found["network.tcp"] is Level.GREEN and found["network.tls"] is Level.RED
    assert "something between opens TLS" in line.finding.remedy


def test_a_proxy_that_is_dead_or_none(running: LocalConsortium) -> None:
    good = f"127.0.0.1:{running.port}"
    found = levels(moved(running, good, proxy=f"http://127.0.0.1:{free_port()}"))
    assert found["network.tcp"] is Level.RED and found["network.tls"] is Level.RED
    assert levels(moved(running, good, proxy="nonsense"))["network.proxy"] is Level.RED


def test_a_proxy_in_the_environment_is_told_of(
    running: LocalConsortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    found = levels(moved(running, f"127.0.0.1:{running.port}"))
    assert found["network.proxy"] is Level.YELLOW and found["network.tls"] is Level.GREEN


def test_a_certificate_that_ends(running: LocalConsortium, monkeypatch: pytest.MonkeyPatch) -> None:
    visit = Visit(running.home_of("north"))
    assert visit.credentials is not None
    end = visit.credentials.identity.not_after
    for early, level in ((timedelta(days=1), Level.YELLOW), (timedelta(days=-1), Level.RED)):
        monkeypatch.setattr(network, "utc_now", lambda early=early: end - early)
        assert levels(visit)["network.certificate"] is level


@pytest.mark.parametrize(
    ("skew_s", "level"),
    [(0.4, Level.GREEN), (-45.0, Level.YELLOW), (400.0, Level.RED), (-4000.0, Level.RED)],
)
def test_a_clock_that_is_off(running: LocalConsortium, skew_s: float, level: Level) -> None:
    visit = moved(running, "127.0.0.1:1")
    visit.__dict__["calls"] = (Call(visit.addresses[0], skew_s=skew_s),)
    assert levels(visit)["network.clock"] is level


def test_the_clock_is_read_from_the_answer(tmp_path: Path) -> None:
    port = free_port()
    of = new_consortium(tmp_path / "hub", port)
    done = fedvox("consortium", "invite", "north", "--home", of.home, "--out", tmp_path / "k")
    assert done.status == 0, done.err
    with serving(of, port):
        (call,) = Visit(tmp_path / "none", kit=Kit.read(tmp_path / "k")).calls
    assert call.problem == "" and call.skew_s is not None and abs(call.skew_s) < 30


def test_a_clock_before_the_certificates(
    running: LocalConsortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = utc_now() - timedelta(days=400)
    monkeypatch.setattr(network, "utc_now", lambda: past)
    visit = Visit(running.home_of("north"))
    visit.__dict__["calls"] = ()
    assert levels(visit)["network.clock"] is Level.RED


def test_the_link_vouches_for_the_way_while_it_is_connected(tmp_path: Path) -> None:
    """As in a deployment, where the account of the images may not dial out."""
    dead = SiteSettings("north", "trial", (f"127.0.0.1:{free_port()}",))
    dead.save(tmp_path)
    give_identity(tmp_path)
    (tmp_path / "run").mkdir(exist_ok=True)
    ways = ("network.tcp", "network.tls")

    def found() -> dict[str, Level]:
        checks = [check for check in network.CHECKS if check.name in ways]
        return {line.name: line.finding.level for line in look_at(Visit(tmp_path), checks)}

    assert set(found().values()) == {Level.RED}
    write_link(tmp_path, LinkSaid(connected=False, problem="timed out"))
    assert set(found().values()) == {Level.RED}
    write_link(tmp_path, LinkSaid(connected=True))
    assert set(found().values()) == {Level.GREEN}
    link = json.loads((tmp_path / "run/link.json").read_text())
    link["heard"] = (utc_now() - timedelta(minutes=5)).isoformat()
    (tmp_path / "run/link.json").write_text(json.dumps(link))
    assert set(found().values()) == {Level.RED}, "it has been silent for too long"
