"""Who may import whom."""

import ast
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
BELOW = {
    "common": set(),
    "client": {"common"},
    "server": {"common"},
    "simulations": {"common", "client", "server"},
}
FLOWER = {
    "client/app.py", "client/link/errand.py", "client/link/fleet.py", "client/link/translate.py",
    "common/parcels.py", "common/wire.py", "server/app.py", "server/asking.py", "server/conduct.py",
    "server/coordinator/conductor.py", "server/flower_private.py", "server/gate/calls.py", "server/gate/objects.py",
    "server/gate/superlink.py", "server/meet.py", "server/presence.py", "server/rounds.py", "server/strategies/flower.py", "simulations/engines.py",
    "simulations/inprocess.py", "simulations/ray_engine.py", "simulations/sites.py",
}  # fmt: skip
"""The modules that face Flower."""
FLOWER_BENCHES = "simulations/bench/"
"""A benchmark holds fedvox against Flower, so it may use all of it."""
FLOWER_PUBLIC = (
    "flwr.app", "flwr.clientapp", "flwr.serverapp", "flwr.serverapp.strategy", "flwr.simulation",
    "flwr.app.typing",
)  # fmt: skip
FLOWER_PRIVATE = {
    "client/link/fleet.py", "server/flower_private.py", "server/gate/calls.py", "server/gate/objects.py",
    "server/gate/superlink.py", "simulations/inprocess.py",
}  # fmt: skip
"""One a process (link, conductor, in-process grid), but for the gate: calls, state and objects."""

COMMAND_LINE = {"common/cli.py", "common/privacy/cli.py", "common/study/cli.py"}
"""Tables of commands, which are loaded when they are called."""
NAMED = re.compile(r"fedvox(\.[a-z_]+)+")


def modules() -> list[Path]:
    return sorted(path for folder in BELOW for path in (TOP / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(TOP))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and NAMED.fullmatch(str(node.value)):
            yield f"named:{node.value}"


def test_there_is_something_to_check() -> None:
    assert len(modules()) > 80


@pytest.mark.parametrize("folder", BELOW)
def test_imports_point_downwards_only(folder: str) -> None:
    for path in (TOP / folder).rglob("*.py"):
        for name in imported(path):
            parts = name.split(".")
            if parts[0] == "fedvox" and len(parts) > 1:
                assert parts[1] in BELOW[folder] | {folder}, f"{name_of(path)} imports {name}"


def test_only_the_command_line_knows_others_by_name() -> None:
    """A module named in a string is an import in disguise: only the command line has them."""
    for path in modules():
        own = path.relative_to(TOP).parts[0]
        for name in imported(path):
            if name.startswith("named:fedvox."):
                target = name.split(".")[1]
                allowed = target in BELOW[own] | {own} or target not in BELOW
                assert allowed or name_of(path) in COMMAND_LINE, f"{name_of(path)}: {name}"


def test_flower_is_imported_where_it_is_faced_and_nowhere_else() -> None:
    facing = {
        name_of(path)
        for path in modules()
        if any(name.split(".")[0] == "flwr" for name in imported(path))
    }
    assert {name for name in facing if not name.startswith(FLOWER_BENCHES)} == FLOWER


def test_flowers_private_modules_are_used_in_one_module_a_process() -> None:
    for path in modules():
        name = name_of(path)
        for found in imported(path):
            private = found.startswith("flwr.") and not any(
                found == public or found.startswith(f"{public}.") for public in FLOWER_PUBLIC
            )
            if private and not name.startswith(FLOWER_BENCHES):
                assert name in FLOWER_PRIVATE, f"{name} imports {found}"


HEAVY = ("torch", "monai", "matplotlib", "ray", "scipy", "opacus", "SimpleITK")
LIGHT = {
    "the command line": (
        "fedvox.common.cli", "fedvox.simulations.cli", "fedvox.common.study.cli",
        "fedvox.server.report.cli_report", "fedvox.server.report.cli_compare",
    ),
    "the server's network side": (
        "fedvox.server.app", "fedvox.server.conduct", "fedvox.server.rounds", "fedvox.server.asking",
        "fedvox.server.meet", "fedvox.server.admit", "fedvox.server.checkpoint",
        "fedvox.server.evaluation", "fedvox.server.strategies.registry",
        "fedvox.server.strategies.flower", "fedvox.common.wire", "fedvox.common.study",
        "fedvox.server.flower_private", "fedvox.server.gate.gate",
    ),
    "a site's link": ("fedvox.client.link.__main__",),
}  # fmt: skip


@pytest.mark.parametrize("what", LIGHT)
def test_neither_needs_torch(what: str) -> None:
    code = (
        "import importlib, json, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    )
    command = [sys.executable, "-c", code, *LIGHT[what]]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    heavy = json.loads(done.stdout)
    assert heavy == [], f"{what} imports {heavy}"


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["simulate", "--help"], ["study", "new"]]
)
def test_the_command_answers_at_once(words: list[str]) -> None:
    """In processor time, which a loaded machine stretches less than the wall's."""
    code = (
        "import json, os, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], capture_output=True)\n"
        "spent = os.times()\n"
        "print(json.dumps([done.returncode, spent.children_user + spent.children_system]))"
    )
    fedvox = str(Path(sys.executable).with_name("fedvox"))
    spent = []
    for _ in range(5):
        command = [sys.executable, "-S", "-c", code, fedvox, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        status, seconds = json.loads(done.stdout)
        assert status == 0
        spent.append(seconds)
    assert statistics.median(spent) < (0.3 if words == ["--help"] else 0.6)
