"""The bundle on a machine with a real systemd: installed, joined, a study through hardened units."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterator

import pytest
from bundles import DEPLOY, Bundle
from machine import Machine, booted

pytestmark = pytest.mark.slow

BIN = "/opt/fedvox/current/bin"
COORDINATOR = "/var/lib/fedvox/coordinator"
AS_COORDINATOR = f"runuser -u fedvox-coordinator -- env FEDVOX_HOME={COORDINATOR} {BIN}/fedvox"
HEALTH, SITE_HEALTH = (f"curl -s http://127.0.0.1:{port}/health" for port in (9464, 9465))
SETTINGS = (
    "study.name=trial", "training.rounds=2", "training.local_steps=2", "model.channels=[4,8]",
    "simulation.patients=6", "privacy.mode=none", "participation.min_sites=1",
    "participation.quorum=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def machine(release: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine that is coordinator and site."""
    with booted(tmp_path_factory.mktemp("machine"), release.folder) as found:
        version = ".".join(platform.python_version_tuple()[:2])
        if f"Python {version}" not in found.run("python3 --version"):
            pytest.skip(f"NOT TESTED: the system's own Python is not {version}")
        for role in ("coordinator", "site"):
            found.run(f"/srv/shared/install.sh --role {role} --fingerprint {release.fingerprint}")
        _join(found)
        yield found


def _join(machine: Machine) -> None:
    machine.run(f"{AS_COORDINATOR} consortium init --name trial --address localhost:8443")
    machine.run(f"{AS_COORDINATOR} consortium invite site-a --out {COORDINATOR}/site-a.kit")
    machine.run("systemctl enable --now fedvox.target fedvox-coordinator")
    machine.wait(HEALTH, lambda said: '"healthy":true' in said)
    machine.run(f"install -m 0600 {COORDINATOR}/site-a.kit /run/site-a.kit")
    machine.run(f"{BIN}/fedvox-site join /run/site-a.kit --data phantom:1")
    machine.run(f"{BIN}/fedvox-site policy init")
    policy = "/var/lib/fedvox/trainer/policy.toml"
    machine.run(
        f"sed -i 's/^least_sites = .*/least_sites = 1/; s/^least_patients = .*/least_patients = 1/' {policy}"
    )
    machine.run(f"{BIN}/fedvox-site policy sign")
    machine.run("systemctl enable --now fedvox-trainer fedvox-link fedvox-monitor")
    machine.wait(
        "journalctl -u fedvox-link --no-pager", lambda said: "connected" in said, patience_s=60
    )


def status(text: str) -> str:
    try:
        return str(json.loads(text.splitlines()[-1])["state"])
    except (ValueError, IndexError, KeyError):
        return ""


def test_a_study_runs_through_the_hardened_units(machine: Machine) -> None:
    settings = " ".join(f"--set '{setting}'" for setting in SETTINGS)
    machine.run(f"{BIN}/fedvox study new {settings} >/tmp/trial.toml && chmod 644 /tmp/trial.toml")
    machine.run(f"{AS_COORDINATOR} study propose /tmp/trial.toml --start")
    machine.wait(f"{BIN}/fedvox-site studies", lambda said: "trial" in said)
    machine.run(f"{BIN}/fedvox-site approve trial --by somebody")
    said = machine.wait(
        f"{AS_COORDINATOR} study status trial --json", lambda said: status(said) == "done", 240
    )
    told = json.loads(said.splitlines()[-1])
    assert told["round"] == told["rounds"] == 2 and len(told["model_sha256"]) == 64


def test_one_command_says_what_runs_here_and_the_monitor_agrees(machine: Machine) -> None:
    said = machine.run(f"{BIN}/fedvox-site now")
    assert "site site-a of trial" in said and "link     connected since" in said
    assert re.search(r"^trial +2/2 ", said, re.MULTILINE)
    assert '"healthy": true' in machine.run(SITE_HEALTH)
    figures = machine.run("curl -s http://127.0.0.1:9465/metrics")
    assert (
        "fedvox_site_connected 1.0" in figures
        and 'fedvox_site_rounds{study="trial"} 2.0' in figures
    )
    days = [
        float(line.split()[1])
        for line in figures.splitlines()
        if "_days " in line and line[0] != "#"
    ]
    assert (
        13 < days[0] < 15
    )  # of the link's certificate, which is renewed where the trainer cannot see


def test_the_listener_takes_what_a_pacs_pushes_when_somebody_has_said_so(machine: Machine) -> None:
    machine.run("systemctl start fedvox-listen")  # not configured: not started, and no failure
    assert machine.run("systemctl is-active fedvox-listen", check=False) == "inactive\n"
    options = "OPTIONS=--allow PACS@127.0.0.1 --quiet-s 1"
    machine.run(
        f"mkdir -p /etc/fedvox && printf 'DATASET=pushed\nPORT=11112\n{options}\n' >/etc/fedvox/listen.env"
    )
    machine.run("systemctl start fedvox-listen")
    machine.wait("journalctl -u fedvox-listen --no-pager", lambda said: "ready: FEDVOX" in said)
    code = f"{BIN}/python -c 'from pydicom.data import get_testdata_file as f; print(f(\"CT_small.dcm\"))'"
    path = machine.run(code).strip()
    machine.run(f"storescu -aet STRANGER -aec FEDVOX 127.0.0.1 11112 {path} 2>&1", check=False)
    machine.run(f"storescu -aet PACS -aec FEDVOX 127.0.0.1 11112 {path}")
    said = machine.wait(
        "journalctl -u fedvox-listen --no-pager",
        lambda said: "ingested" in said or "quarantined" in said,
    )
    assert "add it with --allow" in said  # of the stranger
    assert machine.run("stat -c %U /var/lib/fedvox/trainer/data/pushed").strip() == "fedvox-trainer"
    inside = "nsenter -t $(systemctl show -p MainPID --value fedvox-listen) -m"
    assert machine.run(f"{inside} ls -A /var/lib/fedvox/trainer/studies") == ""
    machine.run("systemctl stop fedvox-listen")


def test_the_trainer_has_no_network(machine: Machine) -> None:
    inside = "nsenter -t $(systemctl show -p MainPID --value fedvox-trainer) -n"
    links = machine.run(f"{inside} ip -o link").splitlines()
    assert len(links) == 1 and " lo: " in links[0]


def test_the_processes_have_no_rights(machine: Machine) -> None:
    for unit in ("coordinator", "link", "trainer", "monitor"):
        pid = machine.run(f"systemctl show -p MainPID --value fedvox-{unit}").strip()
        told = machine.run(f"cat /proc/{pid}/status")
        fields = dict(line.split(":\t") for line in told.splitlines() if ":\t" in line)
        assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0, unit
        assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2", unit


def test_the_link_cannot_see_the_trainers_home(machine: Machine) -> None:
    as_link = "runuser -u fedvox-link --"
    assert machine.run(f"{as_link} ls /var/lib/fedvox/trainer 2>&1", check=False).endswith(
        "Permission denied\n"
    )
    inside = "nsenter -t $(systemctl show -p MainPID --value fedvox-link) -m"
    assert machine.run(f"{inside} ls -A /var/lib/fedvox/trainer") == ""  # not even root, in there


def test_nobody_else_can_knock_at_the_trainer(machine: Machine) -> None:
    code = (
        "import socket; socket.socket(socket.AF_UNIX).connect('/var/lib/fedvox/run/trainer.sock')"
    )
    said = machine.run(f'runuser -u nobody -- python3 -c "{code}" 2>&1', check=False)
    assert "PermissionError" in said
    assert machine.run(f'runuser -u fedvox-link -- python3 -c "{code}" 2>&1') == ""


def test_the_logs_of_both_sides_agree(machine: Machine) -> None:
    coordinator, link, trainer = (
        f"/var/lib/fedvox/{name}/audit.jsonl" for name in ("coordinator", "link", "trainer")
    )
    machine.run(f"{BIN}/fedvox audit verify {coordinator} {link}")
    machine.run(f"{BIN}/fedvox audit verify {trainer}")


@pytest.mark.parametrize("unit", ["fedvox-trainer", "fedvox-link", "fedvox-coordinator"])
def test_what_is_killed_comes_back(machine: Machine, unit: str) -> None:
    show = f"systemctl show -p MainPID --value {unit}"
    before = machine.run(show)
    machine.run(f"systemctl kill --signal=KILL --kill-who=main {unit}")
    machine.wait(show, lambda said: said not in (before, "0\n"), patience_s=30)
    assert machine.wait(f"systemctl is-active {unit}", lambda said: said == "active\n")
    machine.wait(HEALTH, lambda said: '"healthy":true' in said, patience_s=60)
    machine.wait(SITE_HEALTH, lambda said: '"healthy": true' in said, patience_s=60)


def test_a_site_is_backed_up_lost_and_restored_as_the_runbook_says(machine: Machine) -> None:
    section = (DEPLOY / "runbook.md").read_text().split("## Back up")[1].split("Coordinator:")[0]
    stop, pack, start = re.findall(r"^    (.*)$", section, re.MULTILINE)
    state, keys = "/var/lib/fedvox", "sha256sum /var/lib/fedvox/*/identity/key.pem"
    before = machine.run(keys)
    machine.run(f"cd /root && {stop}; {pack}")
    machine.run(f"mv {state}/link {state}/trainer /root/")
    machine.run(f"tar -C {state} -xzf /root/site-*.tar.gz --skip-old-files")
    assert machine.run(keys) == before
    assert "trial" in machine.run(f"{BIN}/fedvox-site studies")
    machine.run(start)
    machine.wait(f"{BIN}/fedvox-site now", lambda said: "connected since" in said)


def test_a_site_takes_a_new_key(machine: Machine) -> None:
    key = "sha256sum /var/lib/fedvox/link/identity/key.pem /var/lib/fedvox/trainer/identity/key.pem"
    before = [line.split()[0] for line in machine.run(key).splitlines()]
    machine.run(f"{AS_COORDINATOR} consortium invite site-a --again --out {COORDINATOR}/again.kit")
    machine.run(f"install -m 0600 {COORDINATOR}/again.kit /run/again.kit")
    machine.run(f"{BIN}/fedvox-site join /run/again.kit --new-key")
    after = [line.split()[0] for line in machine.run(key).splitlines()]
    assert len({*before, *after}) == 2 and len(set(after)) == 1
    owners = machine.run("stat -c '%U %a' /var/lib/fedvox/trainer/identity/*.pem").splitlines()
    assert set(owners) == {"fedvox-trainer 600"}
    assert not machine.run("ls /var/lib/fedvox/link/*.kit", check=False)
    machine.run(f"{BIN}/fedvox-site policy sign")
    machine.run("systemctl restart fedvox-trainer fedvox-link")
    machine.wait("journalctl -u fedvox-link --no-pager -n 3", lambda said: "connected" in said)
    assert machine.run("ls /var/lib/fedvox/trainer/audit-until-*.jsonl")


def test_nothing_was_refused_by_the_sandbox(machine: Machine) -> None:
    journal = machine.run("journalctl --no-pager -u 'fedvox-*'")
    for word in ("Operation not permitted", "Read-only file system", "Traceback", "core-dump"):
        assert word not in journal, word
