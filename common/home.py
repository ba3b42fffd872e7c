"""The folder in which a site or a coordinator keeps everything: `--home DIR`, or FEDVOX_HOME."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from fedvox.common.errors import InputError

VARIABLE = "FEDVOX_HOME"


def add_home(parser: argparse.ArgumentParser) -> None:
    """Declares `--home DIR`."""
    parser.add_argument(
        "--home",
        type=Path,
        default=None,
        metavar="DIR",
        help=f"the folder of this site or coordinator (default: the variable {VARIABLE})",
    )


def home_of(args: argparse.Namespace) -> Path:
    """The folder that was named with --home or, without one, by FEDVOX_HOME; always absolute."""
    named = args.home if args.home is not None else os.environ.get(VARIABLE, "")
    if not str(named):
        raise InputError(f"which folder? Give --home DIR, or set {VARIABLE} to it")
    return Path(named).expanduser().absolute()
