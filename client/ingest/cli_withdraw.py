"""`fedvox site withdraw`: a patient who no longer wants to be part of any study.

Takes the patient out of the next version of every dataset, removes the voxels, also those of
prepared copies, keeps later imports from bringing them back, and lists the studies that had used
them. A model that was trained before is not changed by this. Fedvox cannot reach backups, nor what
a simulation drew as pictures in its own folder.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from fedvox.common.home import add_home

if TYPE_CHECKING:
    from fedvox.client.dataset.withdrawal import Withdrawal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what the command takes."""
    parser.add_argument(
        "pseudonym", nargs="?", default="", metavar="PSEUDONYM", help="such as site data list shows"
    )
    parser.add_argument(
        "--patient-id",
        action="store_true",
        help="read the patient ID from standard input instead, so that it stands in no history",
    )
    add_home(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Withdraws a patient and lists who had used the images."""
    import json
    import sys

    from fedvox.client.dataset.withdrawal import withdraw
    from fedvox.client.deid.sitekey import SiteKey
    from fedvox.common.errors import InputError
    from fedvox.common.home import home_of

    home = home_of(args)
    if bool(args.pseudonym) == args.patient_id:
        raise InputError("give either a PSEUDONYM, or --patient-id and the ID on standard input")
    pseudonym = args.pseudonym
    if args.patient_id:
        pseudonym = SiteKey.of(home).pseudonym(sys.stdin.readline())
    plain = _plain(withdraw(home, pseudonym))
    if args.json:
        print(json.dumps(plain, sort_keys=True))
    else:
        _show(plain)
    return 0


def _plain(done: Withdrawal) -> dict[str, Any]:
    return {
        "patient": done.patient,
        "datasets": {name: dict(vars(gone)) for name, gone in done.datasets.items()},
        "studies": [dict(vars(used)) for used in done.studies],
    }


def _show(plain: dict[str, Any]) -> None:
    print(f"{plain['patient']} is withdrawn")
    for name, gone in plain["datasets"].items():
        print(f"  {name}: {gone['cases']} cases, {gone['files']} files removed; ", end="")
        print(f"version {gone['version'] or '-'}")
    for used in plain["studies"]:
        spent = ", privacy charged" if used["charged"] else ""
        state = f", {used['state']}" if used["state"] else ""
        print(f"  had been given to study {used['study']} ({used['dataset']}{state}{spent})")
    if not plain["studies"]:
        print("  no study had been given these images")
