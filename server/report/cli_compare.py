"""`fedvox compare`: lays runs side by side in the terminal and on a page."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what the command takes."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="two or more run folders")
    parser.add_argument(
        "--out",
        type=Path,
        default=None,
        metavar="FILE",
        help="where the page is written (default: compare.html)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON instead of a table; a page only with --out"
    )


def run(args: argparse.Namespace) -> int:
    """Prints the comparison and writes the page."""
    import json

    from fedvox.common.errors import InputError
    from fedvox.server.report.compare import as_plain, compare_html, load_runs, print_table
    from fedvox.server.report.page import write_page

    if len(args.runs) < 2:
        raise InputError("compare: give at least two run folders, as in runs/A runs/B")
    runs = load_runs(args.runs)
    page = args.out or (None if args.json else Path("compare.html"))
    written = write_page(page, compare_html(runs)) if page else None
    if args.json:
        print(json.dumps(as_plain(runs), indent=2, allow_nan=False))
        return 0
    print_table(runs)
    print(written)
    return 0
