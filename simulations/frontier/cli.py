"""What privacy costs in quality: trains a study at several epsilons and seeds.

fedvox privacy frontier study.toml                  epsilon 1, 2, 4, 8, and without privacy
fedvox privacy frontier study.toml --epsilons 2,inf --seeds 5 --out runs/tradeoff
fedvox privacy frontier --resume runs/tradeoff      go on after an interruption
fedvox privacy frontier --resume runs/tradeoff --epsilons 3,6        more points

Each point is a whole run in DIR/eps-E-seed-S. Writes frontier.json, .svg, .png and .html.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

EPSILONS = (1.0, 2.0, 4.0, 8.0, math.inf)
SEEDS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what the command takes."""
    add = parser.add_argument
    add("study", nargs="?", type=Path, metavar="STUDY.toml", help="study file")
    add(
        "--epsilons",
        type=_epsilons,
        metavar="E[,E...]",
        help="inf: without privacy (default: 1,2,4,8,inf)",
    )
    add("--seeds", type=_count, metavar="N", help="runs for each epsilon (default: 3)")
    add("--out", type=Path, metavar="DIR", help="where it is kept; default runs/NAME-frontier")
    add("--resume", type=Path, metavar="DIR", help="go on with the frontier in this directory")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="any key of the study")
    add("--json", action="store_true", help="print one JSON object, nothing else")
    add("--quiet", action="store_true", help="print errors only")


def run(args: argparse.Namespace) -> int:
    """Trains what is not trained yet, and prints the table."""
    import json
    import sys

    from fedvox.common.files import plain
    from fedvox.simulations.frontier.begin import Wish, begin
    from fedvox.simulations.frontier.conduct import conduct
    from fedvox.simulations.frontier.console import Console
    from fedvox.simulations.frontier.figures import as_plain
    from fedvox.simulations.frontier.text import table_text

    begun = begin(Wish(args.study, args.set, args.out, args.resume, args.epsilons, args.seeds))
    frontier = conduct(begun, Console(None if args.json or args.quiet else sys.stdout))
    if args.json:
        print(json.dumps(plain(as_plain(frontier)), allow_nan=False))
    elif not args.quiet:
        print(f"\n{table_text(frontier)}\n\n{begun.folder / 'frontier.html'}")
    return 0 if frontier.status == "done" else 1


def _epsilons(text: str) -> tuple[float, ...]:
    try:
        found = sorted({float(part) for part in text.split(",")})
    except ValueError:
        found = []
    if not found or not all(value > 0 for value in found):
        raise argparse.ArgumentTypeError(
            f"{text!r}: give numbers above 0, and inf for no privacy, as in 1,2,4,8,inf"
        )
    return tuple(found)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number above 0")
    return int(text)
