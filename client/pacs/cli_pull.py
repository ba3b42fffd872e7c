"""`fedvox site pull`: fetches series from a PACS and ingests them.

Searches by modality, study date and description, then fetches series by series: by C-MOVE to this
machine (which the PACS must know, under --ae-title and --port), by C-GET, or over DICOMweb. Run
again, it fetches only what is missing; --resume does so without searching anew. What cannot be
fetched is recorded with a reason and passed over. Exit status 1 where nothing at all could be.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fedvox.client.pacs.options import add_ingest_options, add_listening, add_tls
from fedvox.common.home import add_home

if TYPE_CHECKING:
    from fedvox.client.pacs.query import Wanted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what the command takes."""
    add = parser.add_argument
    add_home(parser)
    add("--dataset", required=True, metavar="NAME", help="the dataset to import into")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--from", dest="peer", default="", metavar="AE@HOST:PORT", help="the PACS")
    where.add_argument("--dicomweb", default="", metavar="URL", help="its DICOMweb service instead")
    add(
        "--modality",
        action="extend",
        nargs="+",
        default=[],
        metavar="M",
        help="CT, MR, ...; SEG and RTSTRUCT fetch labels",
    )
    add("--since", default="", metavar="DAY", help="studies from this day on: 2024-01-31")
    add("--until", default="", metavar="DAY", help="studies up to this day")
    add(
        "--description",
        default="",
        metavar="PATTERN",
        help="of the series or of its study, with * and ?: '*chest*'",
    )
    add("--method", choices=("move", "get"), default="move", help="C-MOVE (default) or C-GET")
    add("--port", type=int, default=11112, metavar="P", help="where C-MOVE sends (default: 11112)")
    add("--limit", type=int, default=0, metavar="N", help="fetch at most so many series")
    add("--per-minute", type=float, default=0, metavar="N", help="at most so many series a minute")
    add("--resume", action="store_true", help="fetch what was found before; search nothing")
    add(
        "--patience-s",
        type=float,
        default=60.0,
        metavar="S",
        help="how long the PACS may be silent (default: 60)",
    )
    add(
        "--token-file",
        type=Path,
        default=None,
        metavar="FILE",
        help="bearer token for --dicomweb, in a file that only its owner may read",
    )
    add_listening(parser)
    add_tls(parser)
    add_ingest_options(parser)
    add("--json", action="store_true", help="print one JSON object at the end")


def run(args: argparse.Namespace) -> int:
    """Fetches and ingests."""
    import json

    from fedvox.client.pacs.pulling import pull
    from fedvox.client.pacs.silence import silence

    with silence():
        summary = pull(args, _wanted(args))
    print(json.dumps(summary) if args.json else _text(summary))
    nothing = summary["failed"] or summary["unanswered"]
    return 1 if nothing and not summary["fetched"] and not summary["present"] else 0


def _wanted(args: argparse.Namespace) -> Wanted | None:
    from fedvox.client.pacs.query import Wanted, Window, day_of
    from fedvox.common.errors import InputError

    if args.resume:
        if args.modality or args.since or args.until or args.description:
            raise InputError("--resume fetches what was found before; it takes no search")
        return None
    dates = Window(
        day_of(args.since) if args.since else None, day_of(args.until) if args.until else None
    )
    return Wanted(tuple(dict.fromkeys(args.modality)), dates, args.description)


def _text(summary: dict[str, object]) -> str:
    lines = [
        f"{summary['found']} series found, {summary['present']} were here, {summary['fetched']} "
        f"fetched ({summary['objects']} objects), {summary['ingested']} scans ingested"
    ]
    failed = summary["failed"]
    if isinstance(failed, dict) and failed:
        lines.append("not fetched: " + ", ".join(f"{why} {n}" for why, n in failed.items()))
    return "\n".join(lines)
