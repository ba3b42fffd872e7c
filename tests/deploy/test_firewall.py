"""The firewall sheet's rules, in the kernel: who of the site's users gets out, and where to."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from bundles import DEPLOY

LINK, TRAINER, OTHER = 40001, 40002, 40003
COORDINATOR, ELSEWHERE, PACS = "192.0.2.10", "192.0.2.11", "192.0.2.20"
PORT, ANOTHER_PORT, LISTEN_PORT = 8443, 443, 11112
ATTEMPT = """
import os, socket, sys
os.setgid(40000); os.setuid(int(sys.argv[1]))
with socket.socket() as attempt:
    attempt.settimeout(3)
    sys.exit(attempt.connect_ex((sys.argv[2], int(sys.argv[3]))) % 256)
"""
PUSH = """
import socket, sys
with socket.socket() as push:
    push.bind((sys.argv[1], 0))
    push.settimeout(3)
    sys.exit(push.connect_ex(("192.0.2.1", int(sys.argv[2]))) % 256)
"""
OPEN, REFUSED = 0, {errno.EHOSTUNREACH, errno.EACCES, errno.EPERM}


def run(*command: str, text: str = "") -> None:
    subprocess.run(command, input=text, text=True, check=True, timeout=20, capture_output=True)


@pytest.fixture(scope="module", params=[False, True], ids=["closed", "with a PACS"])
def site(request: pytest.FixtureRequest) -> Iterator[str]:
    """A network namespace with the rules, beside one where everything listens."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "nft"))):
        pytest.skip("NOT TESTED: needs root and the Debian packages iproute2 and nftables")
    mine, theirs = f"fw{os.getpid()}a", f"fw{os.getpid()}b"
    with contextlib.ExitStack() as undo:
        for name in (mine, theirs):
            run("ip", "netns", "add", name)
            undo.callback(run, "ip", "netns", "del", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", mine, "link", "add", "v0", "type", "veth", "peer", "v1", "netns", theirs)
        for name, link, addresses in (
            (mine, "v0", ["192.0.2.1"]),
            (theirs, "v1", [COORDINATOR, ELSEWHERE, PACS]),
        ):
            for address in addresses:
                run("ip", "-n", name, "address", "add", f"{address}/24", "dev", link)
            run("ip", "-n", name, "link", "set", link, "up")
        rules = (DEPLOY / "firewall.nft").read_text()
        if request.param:  # images come from the PACS over the network
            rules = rules.replace("#pacs ", "")
        rules = rules.replace('"fedvox-link"', str(LINK)).replace('"fedvox-trainer"', str(TRAINER))
        run("ip", "netns", "exec", mine, "nft", "-f", "-", text=rules)
        run("ip", "netns", "exec", mine, "nft", "-f", "-", text=rules)  # again: it replaces itself
        undo.enter_context(_listening(theirs))
        undo.enter_context(_listening(mine, TRAINER, LISTEN_PORT))
        yield mine


@contextlib.contextmanager
def _listening(namespace: str, user: int = 0, *ports: int) -> Iterator[None]:
    code = (
        f"import os, socket, time\nos.setuid({user})\n"
        f"open = [socket.create_server(('', port)) for port in {ports or (PORT, ANOTHER_PORT)}]\n"
        "print('ready', flush=True); time.sleep(120)"
    )
    command = ["ip", "netns", "exec", namespace, sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout and process.stdout.readline() == "ready\n"
            yield
        finally:
            process.terminate()


def attempt(site: str, user: int, address: str, port: int) -> int:
    words = [
        "ip",
        "netns",
        "exec",
        site,
        sys.executable,
        "-c",
        ATTEMPT,
        str(user),
        address,
        str(port),
    ]
    return subprocess.run(words, timeout=20).returncode


def test_the_link_reaches_the_coordinator(site: str) -> None:
    assert attempt(site, LINK, COORDINATOR, PORT) == OPEN


@pytest.mark.parametrize(
    ("user", "address", "port"),
    [
        (LINK, COORDINATOR, ANOTHER_PORT),
        (LINK, ELSEWHERE, PORT),
        (TRAINER, COORDINATOR, PORT),
        (TRAINER, ELSEWHERE, ANOTHER_PORT),
    ],
)
def test_nothing_else_gets_out(site: str, user: int, address: str, port: int) -> None:
    assert attempt(site, user, address, port) in REFUSED


def test_others_on_the_machine_are_left_alone(site: str) -> None:
    assert attempt(site, OTHER, ELSEWHERE, ANOTHER_PORT) == OPEN
    assert attempt(site, 0, COORDINATOR, PORT) == OPEN


def test_the_pacs_is_reached_where_its_lines_were_opened(
    site: str, request: pytest.FixtureRequest
) -> None:
    opened = "with a PACS" in request.node.name
    reached = attempt(site, TRAINER, PACS, ANOTHER_PORT)
    assert reached == OPEN if opened else reached in REFUSED
    assert attempt(site, LINK, PACS, ANOTHER_PORT) in REFUSED


def test_the_listener_is_reached_by_the_pacs_alone(
    site: str, request: pytest.FixtureRequest
) -> None:
    opened, outside = "with a PACS" in request.node.name, f"{site[:-1]}b"
    pushed = {
        source: subprocess.run(
            ["ip", "netns", "exec", outside, sys.executable, "-c", PUSH, source, str(LISTEN_PORT)],
            timeout=20,
        ).returncode
        for source in (PACS, ELSEWHERE)
    }
    assert (pushed[PACS] == OPEN) is opened  # closed: the answer to the PACS does not get out
    assert pushed[ELSEWHERE] != OPEN
