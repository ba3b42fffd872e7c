"""What a hospital runs.

fedvox site ledger --home DIR       what was spent of the patients' privacy, by whom, what is left
"""

from __future__ import annotations

import argparse
from importlib import import_module

SUBCOMMANDS = {
    "ledger": ("fedvox.client.ledger.cli_ledger", "show or verify the site's privacy ledgers"),
}
"""Name -> (module with add_arguments(parser) and run(args), one line of help)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-commands of `fedvox site`; their modules import what they need when they run."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="|".join(SUBCOMMANDS))
    for name, (module, text) in SUBCOMMANDS.items():
        command = import_module(module)
        command.add_arguments(
            commands.add_parser(
                name,
                help=text,
                description=command.__doc__,
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
        )


def run(args: argparse.Namespace) -> int:
    """Does what `fedvox site` was asked for."""
    return int(import_module(SUBCOMMANDS[args.action][0]).run(args))
