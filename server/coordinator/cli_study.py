"""The sub-commands of `fedvox study` that speak with a running coordinator."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
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
    parser.add_argument(
        "--socket", type=Path, metavar="PATH", help="of the coordinator (HOME/run/operator.sock)"
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
    from fedvox.server.coordinator.asking_api import OPERATOR_FILE, SOCKET, Coordinator, study_path

    coordinator = Coordinator(
        args.socket or home_of(args) / SOCKET, args.operator or home_of(args) / OPERATOR_FILE
    )
    if args.action == "propose":
        return _propose(args, coordinator)
    if args.action == "list":
        return _list(args, coordinator)
    if args.action == "result":
        return _result(args, coordinator)
    if args.action == "status":
        return _status(args, coordinator)
    return _tell(args, coordinator.post(study_path(args.name, args.action)))


def _propose(args: argparse.Namespace, coordinator: Coordinator) -> int:
    from fedvox.common.study import dump_study
    from fedvox.server.coordinator.asking_api import study_path
    from fedvox.server.coordinator.proposal import proposed

    study = proposed(args.study, args.set)
    headers = {"fedvox-sites": args.sites} if args.sites else {}
    told = coordinator.post("/studies", dump_study(study).encode(), **headers)
    if args.start:
        told = coordinator.post(study_path(study.study.name, "start"))
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
    import sys

    from fedvox.server.coordinator.asking_api import study_path

    told = coordinator.get(study_path(args.name, "result"))
    _require_own_folder(args, coordinator)
    for file in told["files"]:
        coordinator.download(study_path(args.name, "result", file), args.out / file)
    if told["state"] != "done":
        print(f"study {args.name!r} is {told['state']}: this is what there is", file=sys.stderr)
    print(json.dumps({"out": str(args.out), **told}) if args.json else args.out)
    return 0


def _require_own_folder(args: argparse.Namespace, coordinator: Coordinator) -> None:
    """Nothing else is written over: a folder that holds anything must hold this study's result."""
    from fedvox.common.errors import InputError
    from fedvox.common.study import load_study, study_hash
    from fedvox.server.coordinator.asking_api import study_path

    study = args.out / "study.toml"
    if not args.out.exists() or (args.out.is_dir() and not any(args.out.iterdir())):
        return
    own = coordinator.get(study_path(args.name))["study_sha256"]
    if not study.is_file() or study_hash(load_study(study)) != own:
        raise InputError(f"{args.out}: holds something else; name a new folder with --out")


def _status(args: argparse.Namespace, coordinator: Coordinator) -> int:
    from fedvox.server.coordinator.asking_api import study_path

    path = study_path(args.name)
    if not args.watch:
        return _tell(args, coordinator.get(path))
    told = _followed(coordinator, path, None if args.json else _table)
    if args.json:
        print(json.dumps(told))
    return 1 if told["state"] in _FAILED else 0


def _followed(
    coordinator: Coordinator, path: str, shown: Callable[[dict[str, Any]], Any] | None
) -> dict[str, Any]:
    """The study's last status; until then it is shown, also while the coordinator is restarted."""
    import time
    from contextlib import nullcontext

    from rich.live import Live

    from fedvox.server.coordinator.asking_api import NobodyThere

    told = coordinator.get(path)
    with Live(auto_refresh=False, screen=False) if shown else nullcontext() as live:
        while True:
            if live is not None and shown is not None:
                live.update(shown(told), refresh=True)
            if told["state"] in (*_DONE, *_FAILED):
                return told
            time.sleep(1.0)
            try:
                told = coordinator.get(path)
            except NobodyThere:
                told["note"] = "the coordinator does not answer; it is asked again"


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
        spent = site["epsilon_spent"]
        epsilon = f"{spent:.3g}" if spent else ""
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
