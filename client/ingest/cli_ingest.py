"""`fedvox site ingest`: images from folders into a dataset that training can use.

Reads DICOM (CT, MR, PET, X-ray) and the usual volume formats, builds volumes by their geometry,
keeps voxels, geometry and a short list of technical attributes, and a pseudonym for the patient.
What cannot be used is set aside with a reason (fedvox site data quarantine) and stops nothing.
Run again, it imports only what is new or changed, and goes on where it was interrupted. The last
line of --json is one object; exit status 2 where nothing could be read.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fedvox.common.home import add_home

if TYPE_CHECKING:
    from fedvox.client.ingest.ingest import Outcome
    from fedvox.client.ingest.labelled import LabelWish

_TASKS = ("segmentation", "classification")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what the command takes."""
    add = parser.add_argument
    add("sources", nargs="+", type=Path, metavar="SRC", help="files or folders with images")
    add("--dataset", required=True, metavar="NAME", help="the dataset to import into")
    add(
        "--labels",
        action="append",
        default=[],
        type=Path,
        metavar="SRC",
        help="files or folders with labels: SEG, RTSTRUCT, masks, a table of classes",
    )
    add(
        "--task",
        default="",
        metavar="NAME",
        help="segmentation or classification: set aside what has no such label",
    )
    add(
        "--keep",
        action="append",
        default=[],
        choices=("age", "sex"),
        help="also keep this of the patient, where the site's signed policy allows it (store.keep):"
        " age in bands of ten years, sex",
    )
    add(
        "--structure",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="keep this structure of label maps, under this value (default: all, as numbered)",
    )
    add("--class-column", default="", metavar="NAME", help="column of a table with the class")
    add("--class-attribute", default="", metavar="KEYWORD", help="DICOM attribute with the class")
    add("--deface", action="store_true", help="take the face out of head scans")
    add("--workers", type=int, default=0, metavar="N", help="scans read at the same time")
    add_home(parser)
    add("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Imports, and says in numbers what became of it."""
    import json

    from fedvox.client.deid.permitted import permitted
    from fedvox.client.ingest.hush import hushed
    from fedvox.client.ingest.ingest import ingest
    from fedvox.client.ingest.making import Recipe
    from fedvox.common.errors import InputError, nearest
    from fedvox.common.home import home_of

    if args.task not in ("", *_TASKS):
        raise InputError(f"--task {args.task}: {nearest(args.task, _TASKS)}")
    home = home_of(args)
    recipe = Recipe(args.task, permitted(home, args.keep), args.deface)
    with hushed():
        outcome = ingest(
            home,
            args.sources,
            args.dataset,
            args.labels,
            recipe,
            _wish(args),
            workers=args.workers,
        )
    if args.json:
        print(json.dumps(outcome.as_plain(), sort_keys=True))
    else:
        _show(outcome)
        if args.deface:
            from fedvox.client.deid.deface import LIMITS

            print(f"faces {LIMITS}")
    return 0 if outcome.was_readable else 2


def _wish(args: argparse.Namespace) -> LabelWish:
    from fedvox.client.ingest.labelled import LabelWish
    from fedvox.common.errors import InputError

    values = {}
    for text in args.structure:
        name, equals, value = text.rpartition("=")
        if not equals or not name or not value.strip().isdecimal():
            raise InputError(f"--structure {text}: give NAME=VALUE, such as liver=1")
        values[name.strip()] = int(value)
    return LabelWish(values, args.class_column, args.class_attribute)


def _show(outcome: Outcome) -> None:
    from fedvox.client.ingest.reasons import Reason

    print(
        f"{outcome.dataset}: {outcome.ingested} ingested, {outcome.unchanged} unchanged, "
        f"{outcome.labelled} labelled, {outcome.quarantined.total()} set aside; "
        f"{outcome.files_read} files in {outcome.wall_s:.1f} s"
    )
    for code, count in sorted(outcome.quarantined.items()):
        print(f"  {code}: {count}: {Reason(code).sentence}")
    if outcome.version:
        print(f"version {outcome.version}")
    if not outcome.was_readable:
        print("nothing here could be read as an image; look at SRC")
