"""Write what this site may tell of a dataset, for the planning of a study: counts, no images.

fedvox site cohort --dataset NAME --out FILE                counts of patients, rounded down
fedvox site cohort --dataset NAME --out FILE --epsilon 1    noised instead, charged in the ledger

The policy says whether and what ([cohort] in policy.toml; without it nothing leaves). No count
stands for fewer patients than cohort.least_cell. Send the file to the operator, who lays those of
all sites together with `fedvox study plan FILES`. Nothing is sent by this command.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fedvox.common.home import add_home


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what the command takes."""
    parser.add_argument("--dataset", required=True, metavar="NAME", help="whose patients")
    add_home(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--out", type=Path, metavar="FILE", help="(default: HOME/cohort/NAME.json)")
    parser.add_argument(
        "--epsilon", type=float, default=0.0, metavar="E", help="noise that hides every patient"
    )
    parser.add_argument(
        "--classes", default="", metavar="A,B,...", help="with --epsilon: the classes of images"
    )


def run(args: argparse.Namespace) -> int:
    """Writes the summary."""
    import json
    import math

    from fedvox.client.cohort.release import Wish, release
    from fedvox.common.errors import InputError
    from fedvox.common.files import write_bytes_atomic, writing
    from fedvox.common.home import home_of

    home = home_of(args)
    if not (math.isfinite(args.epsilon) and args.epsilon >= 0):
        raise InputError(f"--epsilon {args.epsilon}: must be a number above 0")
    classes = tuple(name.strip() for name in args.classes.split(",") if name.strip())
    if classes and not args.epsilon:
        raise InputError("--classes: is for --epsilon; without noise the labels say the classes")
    done = release(home, Wish(args.dataset, args.epsilon, classes))
    out: Path = args.out or home / "cohort" / f"{args.dataset}.json"
    with writing(out):
        out.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_bytes_atomic(out, done.content)
    if args.json:
        told = {"out": str(out), "release": done.release, "epsilon": done.epsilon}
        print(json.dumps({**told, "bytes": len(done.content)}))
    else:
        how = f"noised, epsilon {done.epsilon:g} charged" if done.epsilon else "rounded down"
        print(f"{out}: {done.release}, {how}; look at it, then send it to the operator")
    return 0
