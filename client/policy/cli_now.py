"""What is running here now, for whom, and what has left: on one screen."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fedvox.common.home import add_home

if TYPE_CHECKING:
    from pathlib import Path

    from fedvox.client.policy.link_state import LinkNow
    from fedvox.client.policy.progress import Now
    from fedvox.client.policy.standing import Standing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what the command takes."""
    add_home(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Prints the screen."""
    import json
    from dataclasses import asdict

    from fedvox.client.policy.link_state import link_of
    from fedvox.client.policy.progress import now_of
    from fedvox.client.policy.standing import standings
    from fedvox.common.home import home_of

    home = home_of(args)
    now, found, link = now_of(home), standings(home), link_of(home)
    running = now is not None and now.is_running
    if args.json:
        told = {
            "running": running,
            "now": asdict(now) if now is not None and running else None,
            "link": {"trouble": link.trouble, **asdict(link)},
            "waiting": [item.name for item in found if item.state == "waiting"],
            "answers": sum(item.answers for item in found),
            "bytes_sent": sum(item.bytes_sent for item in found),
            "studies": [asdict(item) for item in found if item.answers],
        }
        print(json.dumps(told))
        return 0
    here = _here(home)
    for line in (*here, *_lines(now if running else None, link, found)):
        print(line)
    return 0


def _here(home: Path) -> Iterator[str]:
    """Whose site this is, and whether anything may run at all."""
    from fedvox.client.policy.signature import policy_of
    from fedvox.client.settings import SiteSettings
    from fedvox.common.errors import FedvoxError

    try:
        own = SiteSettings.load(home)
        yield f"site {own.site} of {own.consortium} (coordinator: {', '.join(own.addresses)})"
    except FedvoxError as error:
        yield str(error)
    try:
        policy_of(home)
    except FedvoxError as error:
        yield f"NOTHING RUNS: {error}"


def _lines(now: Now | None, link: LinkNow, found: list[Standing]) -> Iterator[str]:
    from fedvox.client.policy.show import size, table

    if now is None:
        yield "THE TRAINER DOES NOT RUN: nothing is done here (`fedvox site start`)"
    else:
        yield f"trainer  {_work(now)}"
        connected = f"connected since {_time(link.since)} UTC"
        yield f"link     {f'TROUBLE: {link.trouble}' if link.trouble else connected}"
    sent = [item for item in found if item.answers]
    rows = [("LEFT FOR", "ROUNDS", "ANSWERS", "BYTES", "LAST")]
    rows += [
        (
            item.name,
            f"{item.rounds_done}/{item.rounds}",
            str(item.answers),
            size(item.bytes_sent),
            _time(item.last_sent),
        )
        for item in sent
    ]
    yield ""
    yield from table(rows) if sent else ["nothing has left this site"]
    waiting = [item.name for item in found if item.state == "waiting"]
    if waiting:
        yield ""
        yield f"waiting for a person: {', '.join(waiting)} (`fedvox site studies`)"


def _work(now: Now) -> str:
    more = f"; {now.waiting} more requests wait for their turn" if now.waiting else ""
    if now.study:
        what = f"{now.kind}, round {now.round}"
        return f"working for study {now.study} ({what}) since {now.since[11:19]} UTC{more}"
    return f"nothing to do; ready since {_time(now.started)} UTC{more}"


def _time(stamp: str) -> str:
    return stamp[:19].replace("T", " ")
