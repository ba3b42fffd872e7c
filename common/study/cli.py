"""Write or check a study file; propose it to a consortium and follow it.

fedvox study new > study.toml       a commented file with every key and its default
fedvox study check study.toml       says what is wrong with it, or its hashes
fedvox study plan a.json b.json     one contract from what sites told of their patients
fedvox study propose study.toml --home DIR --start
fedvox study status NAME --watch --home DIR
"""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from pathlib import Path

from fedvox.common.study.contract import contract_hash, study_hash
from fedvox.common.study.load import load_study
from fedvox.common.study.template import commented

_CONSORTIUM = "fedvox.server.coordinator.cli_study"
"""The module of the sub-commands that speak with a coordinator."""
_PLAN = "fedvox.server.cohort.cli_plan"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-commands of `fedvox study`."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    new = commands.add_parser("new", help="print a commented study file")
    new.add_argument("--task", choices=("segmentation", "classification"), default="segmentation")
    check = commands.add_parser("check", help="check a study file")
    check.add_argument("study", type=Path, metavar="STUDY.toml")
    check.add_argument("--json", action="store_true", help="print one JSON object")
    for command in (new, check):
        command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    plan = import_module(_PLAN)
    plan.add_arguments(commands.add_parser("plan", help=plan.HELP))
    consortium = import_module(_CONSORTIUM)
    for action, text in consortium.HELP.items():
        consortium.add_arguments(commands.add_parser(action, help=text), action)


def run(args: argparse.Namespace) -> int:
    """Does what `fedvox study` was asked for."""
    if args.action == "new":
        settings = [f"task.kind={args.task}", *args.set]
        written = {setting.partition("=")[0].strip() for setting in settings}
        print(commented(load_study(settings=settings), written), end="")
        return 0
    if args.action == "plan":
        return int(import_module(_PLAN).run(args))
    if args.action != "check":
        return int(import_module(_CONSORTIUM).run(args))
    study = load_study(args.study, args.set)
    hashes = {
        "study": study.study.name,
        "study_sha256": study_hash(study),
        "contract_sha256": contract_hash(study),
    }
    if args.json:
        print(json.dumps(hashes))
    else:
        print("\n".join(f"{name:<16} {value}" for name, value in hashes.items()))
    return 0
