"""The studies that asked here: what waits, what runs, what ran, and what each has cost."""

from __future__ import annotations

import argparse

from fedvox.common.home import add_home


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what the command takes."""
    add_home(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--text", metavar="STUDY", default="", help="print that study's file")


def run(args: argparse.Namespace) -> int:
    """Prints the studies, those that wait first."""
    import json
    from dataclasses import asdict

    from fedvox.client.policy.approvals import Approvals
    from fedvox.client.policy.recording import site_recorder
    from fedvox.client.policy.show import size, table
    from fedvox.client.policy.standing import standings
    from fedvox.common.home import home_of

    home = home_of(args)
    if args.text:
        print(Approvals(home, site_recorder(home)).find(args.text).study, end="")
        return 0
    found = standings(home)
    if args.json:
        print(json.dumps({"home": str(home), "studies": [asdict(item) for item in found]}))
        return 0
    rows = [("STUDY", "HASH", "STATE", "ROUNDS", "EPSILON", "SENT", "LAST SENT")]
    rows += [
        (
            item.name,
            item.study_sha256[:12],
            f"{item.state}{', at work' if item.working else ''}",
            f"{item.rounds_done}/{item.rounds}",
            f"{item.epsilon:.3g}" if item.epsilon is not None else "-",
            size(item.bytes_sent),
            item.last_sent[:19].replace("T", " ") or "-",
        )
        for item in found
    ]
    for line in table(rows) if found else ["no study has asked here yet"]:
        print(line)
    if any(item.state == "waiting" for item in found):
        print(
            "\nread one with `fedvox site studies --text STUDY`, then `fedvox site approve STUDY`"
        )
    return 0
