"""`fedvox report`: renders the report of a run again."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what the command takes."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder, such as runs/NAME")


def run(args: argparse.Namespace) -> int:
    """Writes RUN/report.html and prints its path."""
    from fedvox.server.report.page import render_report

    print(render_report(args.run))
    return 0
