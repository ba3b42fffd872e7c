"""Is this site ready? Looks at machine, network, policy and data, and takes a step of training.

fedvox site check                       machine, network and data
fedvox site check STUDY.toml            whether this site is ready for this study
fedvox site check --kit KIT             before joining: is the coordinator in reach?

Green is fit, yellow will do, red will not; each line says what to do. Nothing is charged to the
patients' privacy, nothing is sent, and nothing is written but prepared images in the home or the
cache. Exit status 0 where all is green or yellow, 1 where something is red.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fedvox.common.home import add_home


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what the command takes."""
    parser.add_argument("study", nargs="?", type=Path, metavar="STUDY.toml")
    add_home(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--share", type=Path, metavar="FILE", help="write a report fit to be mailed to the operator"
    )
    parser.add_argument(
        "--data",
        default="",
        metavar="KIND:NAME",
        help="where the cases come from (default: as site.toml says)",
    )
    parser.add_argument("--kit", type=Path, metavar="KIT", help="of a site that has not joined")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")


def run(args: argparse.Namespace) -> int:
    """Looks, and prints what it found."""
    import json

    from fedvox.client.check import data, machine, network, permission, trial
    from fedvox.client.check.finding import Level, look_at, worst
    from fedvox.client.check.report import as_plain, shared_text, text_lines
    from fedvox.client.check.supply import study_to_check
    from fedvox.client.check.visit import Visit
    from fedvox.common.files import write_text_atomic
    from fedvox.common.home import home_of
    from fedvox.common.identity.kit import Kit

    study = study_to_check(args.study, args.set) if args.study else None
    kit = Kit.read(args.kit) if args.kit else None
    visit = Visit(home_of(args), study, args.data, kit)
    tables = (machine.CHECKS, network.CHECKS, permission.CHECKS, data.CHECKS, trial.CHECKS)
    lines = look_at(visit, (check for table in tables for check in table))
    if args.share is not None:
        write_text_atomic(args.share, shared_text(lines, visit))
    if args.json:
        told = as_plain(lines, visit)
        print(json.dumps({**told, "shared": str(args.share) if args.share else None}))
    else:
        print("\n".join(text_lines(lines)))
    return 1 if worst(lines) is Level.RED else 0
