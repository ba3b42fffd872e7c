"""The proof that there is no network: in namespaces that have none, and in ones that have."""

import shutil
import subprocess
import sys

import pytest

CODE = (
    "from fedvox.client.trainer.strict import *\n"
    "try:\n    require_no_network(); print('none')\n"
    "except NetworkError as error: print('refused:', error)\n"
)
PYTHON = f'{sys.executable} -P -c "$CODE"'
unshare = pytest.mark.skipif(
    not shutil.which("unshare")
    or subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode != 0,
    reason="no network namespace can be made here",
)
DEVICE = "ip link add eth9 type veth peer name eth8; ip link set eth8 up; ip link set eth9 up; "


def within(commands: str) -> str:
    shell = ["unshare", "-n", "sh", "-ec", commands + PYTHON]
    done = subprocess.run(
        shell,
        env={"CODE": CODE, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@unshare
def test_an_empty_namespace_is_no_network() -> None:
    assert within("") == "none"
    assert within("ip link set lo up; ") == "none"


@unshare
@pytest.mark.parametrize(
    "route",
    [
        DEVICE + "ip addr add 192.0.2.77/24 dev eth9; ",
        DEVICE + "ip addr add 172.29.3.4/30 dev eth9; ",  # a way to two machines only
        DEVICE + "ip addr add 172.29.3.4/24 dev eth9; ip route add default via 172.29.3.1; ",
        DEVICE + "ip -6 addr add 2001:db8:5::1/64 dev eth9; ",
    ],
)
def test_any_way_out_is_a_refusal(route: str) -> None:
    try:
        said = within(route)
    except AssertionError as error:
        pytest.skip(f"the kernel cannot make the device: {error}")
    assert said.startswith("refused:")
    assert "PrivateNetwork" in said


def test_python_in_the_trainer_opens_no_socket_outside() -> None:
    code = (
        "import os, socket\n"
        "os.environ['HTTPS_PROXY'] = os.environ['no_proxy'] = 'x'\n"
        "from fedvox.client.trainer.strict import leave_network\n"
        "leave_network()\n"
        "print([n for n in os.environ if n.lower().endswith('_proxy')])\n"
        "def attempt(work):\n"
        "    try: work(); return 'done'\n"
        "    except PermissionError: return 'refused'\n"
        "    except OSError: return 'tried'\n"
        "tcp, udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)\n"
        "print(attempt(lambda: tcp.connect(('192.0.2.1', 80))))\n"
        "print(attempt(lambda: udp.sendto(b'x', ('192.0.2.1', 80))))\n"
        "print(attempt(lambda: socket.create_connection(('hospital.example', 80))))\n"
        "print(attempt(lambda: socket.socket().bind(('0.0.0.0', 0))))\n"
        "print(attempt(lambda: socket.socket().connect(('127.0.0.1', 9))))\n"
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split("\n")[:6] == [
        "[]",
        "refused",
        "refused",
        "refused",
        "refused",
        "tried",
    ]
