"""`fedvox study plan`: from what sites told of their patients to one data contract."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

HELP = "lay the sites' cohort summaries together, and propose one data contract"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what the command takes."""
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="what `fedvox site cohort` wrote"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--out", type=Path, metavar="STUDY.toml", help="write the study here")
    parser.add_argument("--task", choices=("segmentation", "classification"), default="")
    parser.add_argument("--name", default="planned", metavar="NAME", help="of the study")
    parser.add_argument(
        "--memory", type=float, default=8.0, metavar="GIB", help="of the smallest GPU (default: 8)"
    )
    parser.add_argument(
        "--simulate", metavar="SOURCE", help="instead of files: phantom, msd:NAME, a path, ..."
    )
    parser.add_argument("--sites", type=int, default=4, metavar="N", help="with --simulate")
    parser.add_argument(
        "--partition", metavar="SPEC", help="with --simulate: iid, dirichlet:A, ..."
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="with --simulate"
    )


def run(args: argparse.Namespace) -> int:
    """Prints the data sheet, and writes the study."""
    import json
    import math

    from fedvox.common.errors import InputError
    from fedvox.common.files import write_text_atomic
    from fedvox.server.cohort.pool import pool_of, read_pool
    from fedvox.server.cohort.propose import propose
    from fedvox.server.cohort.sheet import as_plain, sheet_lines
    from fedvox.server.cohort.write import AT_SITES, study_text

    if bool(args.files) == bool(args.simulate):
        raise InputError("give the files that `fedvox site cohort` wrote, or --simulate SOURCE")
    if not (math.isfinite(args.memory) and args.memory > 0):
        raise InputError(f"--memory {args.memory}: must be a number of GiB above 0")
    where: dict[str, Any] = {"data.source": AT_SITES}
    if args.simulate:
        summaries, where = _simulated(args)
        pool = pool_of(summaries)
    else:
        pool = read_pool(args.files)
    proposal = propose(pool, args.task, args.memory)
    text = study_text(pool, proposal, args.name, where)
    if args.out is not None:
        write_text_atomic(args.out, text)
    if args.json:
        told = as_plain(pool, proposal)
        print(json.dumps({**told, "study": str(args.out) if args.out else None}))
        return 0
    for line in sheet_lines(pool, proposal):
        print(line)
    print(f"{args.out}: look at it, then `fedvox study check`" if args.out else f"\n{text}")
    return 0


def _simulated(args: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """Summaries of virtual sites, by whoever can simulate; and the keys that lead to them again."""
    from importlib.metadata import entry_points

    settings = [f"data.source={args.simulate}", f"simulation.sites={args.sites}", *args.set]
    if args.partition:
        settings.append(f"data.partition={args.partition}")
    if args.task:
        settings.append(f"task.kind={args.task}")
    (found,) = entry_points(group="fedvox.simulation", name="cohort")
    summaries, where = found.load()(settings)
    return summaries, where
