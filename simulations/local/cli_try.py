"""Try a whole consortium on this machine: a coordinator and its sites as real processes.

fedvox try                    two hospitals with phantom patients, in ./try
fedvox try DIR --sites 5 --set training.rounds=4

Makes the consortium, has the sites join over mutual TLS, approves the study at each of them,
follows it to its end and checks what both sides wrote down. Everything stays in DIR to look at.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedvox.simulations.local.consortium import LocalConsortium

_QUICK = ("simulation.patients=8", "training.rounds=4", "training.local_steps=10")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `fedvox try`."""
    parser.add_argument("dir", nargs="?", type=Path, default=Path("try"), metavar="DIR")
    parser.add_argument("--sites", type=int, default=2, metavar="N", help="hospitals (default: 2)")
    parser.add_argument("--study", type=Path, metavar="STUDY.toml", help="(default: phantoms)")
    parser.add_argument("--port", type=int, default=0, metavar="P", help="(default: a free one)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Tries it."""
    import json

    from fedvox.common.errors import InputError
    from fedvox.common.study import load_study
    from fedvox.simulations.local.consortium import LocalConsortium, command

    folder = args.dir.absolute()
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: is not empty; name a new folder")
    if args.sites < 2:
        raise InputError("--sites: a study needs at least 2")
    say = _silent if args.json else _aloud
    sites = [f"site-{number}" for number in range(1, args.sites + 1)]
    settings = [f"simulation.sites={args.sites}", *([] if args.study else _QUICK), *args.set]
    folder.mkdir(parents=True, exist_ok=True)
    study = args.study or folder / "study.toml"
    if args.study is None:
        study.write_text("# A study on phantoms, by the defaults of `fedvox study new`.\n")
    name = load_study(study, settings).study.name
    with LocalConsortium(folder, sites, port=args.port) as consortium:
        consortium.found()
        say(f"coordinator  ready on 127.0.0.1:{consortium.port}, mutual TLS 1.3")
        consortium.start_sites()
        for site in sites:
            say(f"{site:<12} joined with its kit; trainer and link are running")
        consortium.propose(study, *settings)
        say(f"study {name!r} proposed; it waits for a person at each site")
        consortium.approve(name)
        say(f"approved at  {', '.join(sites)}")
        told = _followed(consortium, name, say)
        out = folder / "result"
        command("study", "result", name, "--out", str(out), "--home", str(consortium.home))
        checked = _audited(consortium)
    say(f"model        {out / 'model.safetensors'}: sha256 {told['model_sha256']}")
    say(f"report       {out / 'report.html'}")
    say(f"audit        {sum(log['entries'] for log in checked['logs'])} entries, "
        f"{'all hold' if checked['holds'] else 'NOT all hold'}")  # fmt: skip
    if args.json:
        print(json.dumps({"result": str(out), "status": told, "audit": checked}))
    return 0 if told["state"] == "done" and checked["holds"] else 1


def _silent(text: str) -> None:
    """With --json, one object is all that is printed."""


def _aloud(text: str) -> None:
    print(text, flush=True)


def _followed(consortium: LocalConsortium, name: str, say: Callable[[str], None]) -> dict[str, Any]:
    import time

    told: dict[str, Any] = {"round": 0, "state": ""}
    while told["state"] not in ("done", "failed", "stopped"):
        time.sleep(0.3)
        before, told = told["round"], consortium.status(name)
        if told["round"] != before:
            say(f"round {told['round']} of {told['rounds']} closed")
    return told


def _audited(consortium: LocalConsortium) -> dict[str, Any]:
    from fedvox.simulations.local.consortium import command

    homes = [consortium.home, *(consortium.home_of(site) for site in consortium.names)]
    root = str(consortium.home / "identity" / "ca.pem")
    return command("audit", "verify", *(str(h / "audit.jsonl") for h in homes), "--authority", root)
