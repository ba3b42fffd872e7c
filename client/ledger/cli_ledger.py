"""`fedvox site ledger`: what was spent of the patients' privacy, and whether the record is whole.

Exit status 1 where a row was changed, removed or put in, and 2 where there is no ledger.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fedvox.common.home import add_home, home_of

if TYPE_CHECKING:
    from fedvox.client.ledger.places import Place


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what the command takes."""
    add_home(parser)
    parser.add_argument(
        "--dataset", default="", metavar="NAME", help="only this data set (default: all)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--verify", action="store_true", help="only say whether every row is as it was written"
    )
    parser.add_argument(
        "--plot", type=Path, default=None, metavar="FILE.svg", help="draw epsilon over time"
    )
    parser.add_argument(
        "--last", type=int, default=5, metavar="N", help="entries shown of each ledger (default: 5)"
    )


def run(args: argparse.Namespace) -> int:
    """Prints the ledgers, or what is wrong with them."""
    import json

    from fedvox.client.ledger.summary import summarise
    from fedvox.client.ledger.verify import look

    home = home_of(args)
    looks = [look(place) for place in _chosen(home, args.dataset)]
    summaries = [summarise(found, args.last) for found in looks]
    if args.plot is not None:
        from fedvox.client.ledger.plot import draw

        draw(summaries, args.plot)
    if args.json:
        plain = {"home": str(home), "ledgers": [item.as_plain() for item in summaries]}
        print(json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        from fedvox.client.ledger.show import show, show_verdict

        for item in summaries:
            (show_verdict if args.verify else show)(item)
        if args.plot is not None:
            print(args.plot)
    return 1 if any(found.findings for found in looks) else 0


def _chosen(home: Path, dataset: str) -> list[Place]:
    from fedvox.client.ledger.places import places
    from fedvox.common.errors import InputError, nearest

    found = places(home)
    if not found:
        raise InputError(
            f"{home}: no ledger here; --home is the site's folder, which has ledger/DATASET/ in it "
            "once the site was asked for private work (of a simulation: RUN/sites/SITE)"
        )
    chosen = [place for place in found if dataset in ("", place.dataset)]
    if not chosen:
        hint = nearest(dataset, {place.dataset for place in found})
        raise InputError(f"{home}: no ledger of a data set {dataset!r}; {hint}")
    return chosen
