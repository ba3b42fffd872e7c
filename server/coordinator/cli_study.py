"""The sub-commands of `fedvox study` that speak with a running coordinator."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedvox.common.home import add_home, home_of

if TYPE_CHECKING:
    from fedvox.server.coordinator.asking_api import Coordinator

HELP = {
    "propose": "propose a study to the consortium",
    "start": "begin a proposed study",
    "status": "how far a study has come, and whom it waits for",
    "pause": "stop asking the sites until it is resumed",
    "resume": "go on with a paused or failed study",
    "stop": "end a study for good",
    "list": "all studies of the coordinator",
    "result": "fetch model, report and rounds of a study",
}
_DONE, _FAILED = ("done", "stopped"), ("failed",)


def add_arguments(parser: argparse.ArgumentParser, action: str) -> None:
    """The options of one of the sub-commands."""
    add_home(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--operator", type=Path, metavar="FILE", help="an operator's credential (HOME/operator.pem)"
    )
    if action == "propose":
        parser.add_argument("study", type=Path, metavar="STUDY.toml")
        parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
        parser.add_argument("--sites", metavar="A,B,...", help="who takes part (default: all)")
        parser.add_argument("--start", action="store_true", help="and begin it")
    elif action != "list":
        parser.add_argument("name", metavar="NAME")
    if action == "status":
        parser.add_argument("--watch", action="store_true", help="a live table until it ends")
    if action == "result":
        parser.add_argument("--out", type=Path, required=True, metavar="DIR")


def run(args: argparse.Namespace) -> int:
    """Does what was asked for."""
    from fedvox.server.coordinator.asking_api import Coordinator

    coordinator = Coordinator(home_of(args), args.operator)
    if args.action == "propose":
        return _propose(args, coordinator)
    if args.action == "list":
        return _list(args, coordinator)
    if args.action == "result":
        return _result(args, coordinator)
    if args.action == "status":
        return _status(args, coordinator)
    return _tell(args, coordinator.post(f"/studies/{args.name}/{args.action}"))


def _propose(args: argparse.Namespace, coordinator: Coordinator) -> int:
    from fedvox.common.study import dump_study
    from fedvox.server.coordinator.proposal import proposed

    study = proposed(args.study, args.set)
    headers = {"fedvox-sites": args.sites} if args.sites else {}
    told = coordinator.post("/studies", dump_study(study).encode(), **headers)
    if args.start:
        told = coordinator.post(f"/studies/{study.study.name}/start")
    return _tell(args, told)


def _list(args: argparse.Namespace, coordinator: Coordinator) -> int:
    told = coordinator.get("/studies")
    if args.json:
        print(json.dumps(told))
        return 0
    for one in told["studies"]:
        rounds = f"round {one['round']} of {one['rounds']}" if one["rounds"] else ""
        print(f"{one['name']:<24} {one['state']:<9} {rounds:<16} {one['study_sha256'][:12]}")
    if not told["studies"]:
        print("no studies yet; `fedvox study propose STUDY.toml` proposes one")
    return 0


def _result(args: argparse.Namespace, coordinator: Coordinator) -> int:
    import io
    import tarfile

    packed = coordinator.fetch(f"/studies/{args.name}/result")
    args.out.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(args.out, filter="data")
        names = archive.getnames()
    print(json.dumps({"out": str(args.out), "files": names}) if args.json else args.out)
    return 0


def _status(args: argparse.Namespace, coordinator: Coordinator) -> int:
    if not args.watch:
        return _tell(args, coordinator.get(f"/studies/{args.name}"))
    import time

    from rich.live import Live

    with Live(auto_refresh=False, screen=False) as live:
        while True:
            told = coordinator.get(f"/studies/{args.name}")
            live.update(_table(told), refresh=True)
            if told["state"] in (*_DONE, *_FAILED):
                return 1 if told["state"] in _FAILED else 0
            time.sleep(1.0)


def _tell(args: argparse.Namespace, told: dict[str, Any]) -> int:
    if args.json:
        print(json.dumps(told))
    else:
        from rich.console import Console

        Console().print(_table(told))
    return 0


def _table(told: dict[str, Any]) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    phase = f" ({told['phase']})" if told["phase"] else ""
    head = (
        f"{told['name']}: {told['state']}{phase}, round {told['round']} of {told['rounds']}, "
        f"a round needs {told['quorum']} sites"
    )
    table = Table("site", "connected", "now", "last seen", "epsilon", box=None)
    for site in told["sites"]:
        epsilon = f"{site['epsilon']:.3g}" if site["epsilon"] else ""
        table.add_row(
            site["name"],
            "yes" if site["online"] else "no",
            site["state"],
            (site["last_seen"] or "")[:19],
            epsilon,
        )
    ends = [Text(told["note"])] if told["note"] else []
    if told["model_sha256"]:
        ends.append(Text(f"model sha256 {told['model_sha256']}"))
    return Group(Text(head), table, *ends)
