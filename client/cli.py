"""What a hospital runs.

fedvox site join KIT --home DIR     join a consortium with the kit that its operator sent
fedvox site start --home DIR        trainer and link, until SIGTERM
fedvox site now --home DIR          what is running here now, and what has left
fedvox site studies --home DIR      what waits, runs, ran; then approve, reject, pause, resume, stop
fedvox site policy show --home DIR  what this site allows
fedvox site ingest SRC --dataset NAME   images into a dataset; then data, withdraw, deid
fedvox site check STUDY.toml        is this site ready for this study?
fedvox site ledger --home DIR       what was spent of the patients' privacy, by whom, what is left
"""

from __future__ import annotations

import argparse
from importlib import import_module

SUBCOMMANDS = {
    "join": ("fedvox.client.joining.cli_join", "join a consortium with the kit of its operator"),
    "start": ("fedvox.client.start", "run this site: trainer and link"),
    "now": ("fedvox.client.policy.cli_now", "what is running here now, and what has left"),
    "studies": ("fedvox.client.policy.cli_studies", "the studies that asked here"),
    "approve": ("fedvox.client.policy.cli_decide", "let a study run"),
    "reject": ("fedvox.client.policy.cli_decide", "turn a study away"),
    "pause": ("fedvox.client.policy.cli_decide", "begin nothing new for a study"),
    "resume": ("fedvox.client.policy.cli_decide", "let a study go on"),
    "stop": ("fedvox.client.policy.cli_decide", "end what is done for a study, at once"),
    "policy": ("fedvox.client.policy.cli_policy", "what this site allows: show, test, sign"),
    "ledger": ("fedvox.client.ledger.cli_ledger", "show or verify the site's privacy ledgers"),
    "check": ("fedvox.client.check.cli_check", "is this site ready, and for this study?"),
    "cohort": ("fedvox.client.cohort.cli_cohort", "write what this site may tell of its patients"),
    "data": ("fedvox.client.ingest.cli_data", "what the site's datasets hold"),
    "deid": ("fedvox.client.ingest.cli_deid", "write de-identified copies of DICOM files"),
    "ingest": ("fedvox.client.ingest.cli_ingest", "import images and labels into a dataset"),
    "listen": ("fedvox.client.pacs.cli_listen", "take what a PACS pushes into a dataset"),
    "pull": ("fedvox.client.pacs.cli_pull", "fetch series from a PACS into a dataset"),
    "withdraw": ("fedvox.client.ingest.cli_withdraw", "take a patient out of every dataset"),
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
