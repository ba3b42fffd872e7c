"""The `fedvox` command: knows the commands by name and loads one only when it is called."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

from fedvox.common import __version__

COMMANDS = {
    "simulate": ("fedvox.simulations.cli", "train a study across simulated hospitals"),
    "try": ("fedvox.simulations.local.cli_try", "try a whole consortium on this machine"),
    "study": ("fedvox.common.study.cli", "write or check a study file"),
    "privacy": ("fedvox.common.privacy.cli", "plan what a study spends of its patients' privacy"),
    "report": ("fedvox.server.report.cli_report", "render the report of a run again"),
    "compare": ("fedvox.server.report.cli_compare", "lay runs side by side"),
    "coordinator": ("fedvox.server.coordinator.cli_coordinator", "run a consortium's coordinator"),
    "audit": (
        "fedvox.common.audit.cli_audit",
        "check signed logs of coordinator and sites, offline",
    ),
    "consortium": (
        "fedvox.server.consortium.cli_consortium",
        "make a consortium, invite and revoke hospitals",
    ),
    "site": ("fedvox.client.cli", "what a hospital runs: its ledger"),
}
"""Name -> (module with add_arguments(parser) and run(args), one line of help)."""

# Nothing here may report home or look for updates: hospitals have no way out, and need none.
_QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status: 0 done, 1 failed, 2 bad input, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] not in COMMANDS:
        _root_parser().parse_args(words or ["--help"])
        return 2
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    with _terminable():
        return _run(words)


def _run(words: list[str]) -> int:
    from fedvox.common.errors import FedvoxError

    try:
        command = import_module(COMMANDS[words[0]][0])
        return int(command.run(_parser(words[0], command).parse_args(words[1:])))
    except FedvoxError as error:
        print(f"fedvox {words[0]}: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print(f"fedvox {words[0]}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does: orderly, and ready to be gone on with."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _parser(name: str, command: ModuleType) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"fedvox {name}",
        description=command.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_arguments(parser)
    return parser


def _root_parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog="fedvox",
        description="Federated learning across hospital sites, for 3D medical imaging.",
        epilog="\n".join(["commands:", *lines, "", "fedvox COMMAND --help says more."]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fedvox {__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="see below")
    return parser


if __name__ == "__main__":
    sys.exit(main())
