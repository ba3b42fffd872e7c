"""`fedvox privacy plan`: what a study will spend at each site, before anything is spent."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what the command takes."""
    parser.add_argument("study", type=Path, metavar="STUDY.toml")
    parser.add_argument(
        "--patients",
        type=_counts,
        default=(),
        metavar="N[,N...]",
        help="training patients of each site (default: an average site of the simulation)",
    )
    parser.add_argument(
        "--epsilon",
        type=float,
        metavar="E",
        help="find the noise for this target; like --set privacy.epsilon=E, and over a "
        "noise_multiplier that the study names",
    )
    parser.add_argument(
        "--delta", type=float, metavar="D", help="like --set privacy.delta=D; 0: from the patients"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw epsilon over rounds, as .svg or .png"
    )


def run(args: argparse.Namespace) -> int:
    """Prints the plan."""
    import json
    import sys

    from fedvox.common.files import plain
    from fedvox.common.privacy.plan import as_plain, plan_site, training_patients
    from fedvox.common.privacy.plan_text import assumptions, table, text_plot
    from fedvox.common.study.load import load_study

    study = load_study(args.study, [*args.set, *_shorthands(args)])
    drawn = bool(args.plot) or (sys.stdout.isatty() and not args.json)
    counts = args.patients or (training_patients(study),)
    known = {count: plan_site(study, count, curve=drawn or args.json) for count in set(counts)}
    sites = [known[count] for count in counts]
    different = list({site.patients: site for site in sites}.values())
    if args.plot:
        from fedvox.common.privacy.plan_plot import draw_plan

        draw_plan(args.plot, study, different)
    if args.json:
        print(json.dumps(plain(as_plain(study, sites)), allow_nan=False))
        return 0
    print("\n".join(assumptions(study, bool(args.patients), counts)))
    print(f"\n{table(study, sites)}")
    if sys.stdout.isatty():
        print(f"\n{text_plot(different)}")
    if args.plot:
        print(f"\n{args.plot}")
    return 0


def _shorthands(args: argparse.Namespace) -> list[str]:
    settings = []
    if args.epsilon is not None:
        settings += [f"privacy.epsilon={args.epsilon!r}", "privacy.noise_multiplier=0.0"]
    if args.delta is not None:
        settings.append(f"privacy.delta={args.delta!r}")
    return settings


def _counts(text: str) -> tuple[int, ...]:
    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r}: give whole numbers above 0, as in 40 or 40,120,16"
        )
    return counts
