"""`fedvox privacy`: what a study spends of its patients' privacy."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from importlib import import_module
from typing import Any

COMMANDS = {
    "plan": ("fedvox.common.privacy.plan_cli", "what a study will spend, before it does"),
    "frontier": ("fedvox.simulations.frontier.cli", "what each epsilon costs in quality"),
    "audit": ("fedvox.simulations.audit.cli", "attack what a run has promised"),
}
"""Name -> (module with add_arguments(parser) and run(args), one line of help)."""


class LazyParser(argparse.ArgumentParser):
    """Parser of one sub-command; asks its module for arguments when it is called."""

    def __init__(self, *, module: str = "", **settings: Any) -> None:
        super().__init__(**settings)
        self._module = module

    def parse_known_args(
        self, args: Iterable[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parses, once the module has said what it takes."""
        if self._module:
            command = import_module(self._module)
            self._module = ""
            self.description = command.__doc__
            command.add_arguments(self)
        return super().parse_known_args(args, namespace)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-commands of `fedvox privacy`."""
    commands = parser.add_subparsers(
        dest="action", required=True, metavar="|".join(COMMANDS), parser_class=LazyParser
    )
    for name, (module, text) in COMMANDS.items():
        commands.add_parser(
            name,
            help=text,
            module=module,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )


def run(args: argparse.Namespace) -> int:
    """Does what `fedvox privacy` was asked for."""
    return int(import_module(COMMANDS[args.action][0]).run(args))
