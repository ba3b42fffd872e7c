"""Attack a run's own promise: who took part, and what do the updates show of their images?

Puts canary patients among those of a site, lets the site's own engine take some of the study's
steps, and guesses who took part; holds noise and draws against what was charged; and tries to
reconstruct an image from one update. Writes privacy_audit.json into the run.

Exit status: 0 nothing found, 1 a violation found, 2 the run cannot be audited.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what the command takes."""
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="directory of a run with --epsilon")
    add("--site", default="", metavar="NAME", help="default: the one with the fewest patients")
    add("--canaries", type=int, metavar="N", help="default: as the model allows, at most 1000")
    add("--steps", type=int, default=30, metavar="N", help="most steps taken (%(default)s)")
    add(
        "--iterations",
        type=int,
        default=100,
        metavar="N",
        help="of the gradient inversion (%(default)s); 0 leaves it out",
    )
    add("--seed", type=int, default=0, metavar="N", help="of canaries, draws and noise")
    add(
        "--guess-confidence",
        type=float,
        default=0.95,
        metavar="P",
        help="of the lower bound on epsilon (%(default)s)",
    )
    add("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Audits the run; 1 where something was found."""
    import json

    from fedvox.common.files import plain, write_json_atomic
    from fedvox.simulations.audit.audit import Wish, audit_run
    from fedvox.simulations.audit.text import as_text

    audit = audit_run(
        Wish(
            args.run,
            args.site,
            args.canaries,
            args.steps,
            args.iterations,
            args.seed,
            args.guess_confidence,
        )
    )
    record = audit.as_record()
    write_json_atomic(args.run / "privacy_audit.json", record)
    print(json.dumps(plain(record), allow_nan=False) if args.json else as_text(audit))
    return 1 if audit.found else 0
