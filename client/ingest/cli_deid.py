"""`fedvox site deid`: de-identified copies of DICOM files, to be given away.

After DICOM PS3.15, Basic Application Level Confidentiality Profile. Patient ID and name become a
pseudonym, UIDs are remapped so that series and references still fit together, private attributes
go, and so does every text that is not known to be safe. Images that may have text burned in are
refused unless --blank says what to blacken. A DICOMDIR, reports and anything else that is no
image, segmentation or contour set is not passed on. DST/deid-report.json says in numbers what was
done. Exit status 2 where nothing could be written.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fedvox.common.home import add_home

if TYPE_CHECKING:
    from fedvox.client.deid.folder import Report

_KEEP = ("dates", "device", "patient")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what the command takes."""
    parser.add_argument("source", type=Path, metavar="SRC", help="a DICOM file or folder")
    parser.add_argument("target", type=Path, metavar="DST", help="a folder outside SRC")
    parser.add_argument(
        "--keep",
        action="append",
        default=[],
        choices=_KEEP,
        help="an option of the profile: dates (all of a patient's moved by the same number of "
        "days), device (who made it and which one it is), patient (sex, age, size, weight)",
    )
    parser.add_argument(
        "--blank",
        action="append",
        default=[],
        metavar="X,Y,W,H",
        help="blacken this rectangle of images that may have text burned in",
    )
    add_home(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """De-identifies a folder and says in numbers what was done."""
    import json

    from fedvox.client.deid.folder import deidentify_folder
    from fedvox.client.deid.profile import Options
    from fedvox.client.deid.sitekey import SiteKey
    from fedvox.client.ingest.hush import hushed
    from fedvox.common.home import home_of

    kept = {name: name in args.keep for name in _KEEP}
    options = Options(blank=tuple(map(_region, args.blank)), **kept)
    with hushed():
        report = deidentify_folder(args.source, args.target, SiteKey.of(home_of(args)), options)
    if args.json:
        print(json.dumps(report.as_plain(), sort_keys=True))
    else:
        _show(report)
    return 0 if report.files_written else 2


def _region(text: str) -> tuple[int, int, int, int]:
    from fedvox.common.errors import InputError

    try:
        x, y, width, height = map(int, text.split(","))
    except ValueError:
        raise InputError("--blank: four whole numbers are needed: X,Y,WIDTH,HEIGHT") from None
    return x, y, width, height


def _show(report: Report) -> None:
    plain = report.as_plain()
    print(f"{report.files_written} of {report.files_read} files written")
    for reason, count in plain["refused"].items():
        print(f"  refused, {reason}: {count}")
    for action, count in plain["actions"].items():
        print(f"  attributes {action}: {count}")
