"""What is running here now, for whom, and what has left: on one screen."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fedvox.common.home import add_home

if TYPE_CHECKING:
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

    from fedvox.client.policy.progress import now_of
    from fedvox.client.policy.standing import standings
    from fedvox.common.home import home_of

    home = home_of(args)
    now, found = now_of(home), standings(home)
    running = now is not None and now.is_running
    if args.json:
        told = {
            "running": running,
            "now": asdict(now) if now is not None and running else None,
            "waiting": [item.name for item in found if item.state == "waiting"],
            "answers": sum(item.answers for item in found),
            "bytes_sent": sum(item.bytes_sent for item in found),
            "studies": [asdict(item) for item in found if item.answers],
        }
        print(json.dumps(told))
        return 0
    for line in _lines(now if running else None, found):
        print(line)
    return 0


def _lines(now: Now | None, found: list[Standing]) -> Iterator[str]:
    from fedvox.client.policy.show import size, table

    if now is None:
        yield "the trainer is not running"
    elif now.study:
        what = f"{now.kind}, round {now.round}"
        yield f"site {now.site}: working for {now.study} ({what}) since {now.since[11:19]} UTC"
    else:
        since = now.started[:19].replace("T", " ")
        yield f"site {now.site}: ready since {since} UTC, nothing to do"
    if now is not None and now.waiting:
        yield f"{now.waiting} more requests wait for their turn"
    sent = [item for item in found if item.answers]
    rows = [("LEFT FOR", "ROUNDS", "ANSWERS", "BYTES", "LAST")]
    rows += [
        (
            item.name,
            f"{item.rounds_done}/{item.rounds}",
            str(item.answers),
            size(item.bytes_sent),
            item.last_sent[:19].replace("T", " "),
        )
        for item in sent
    ]
    yield ""
    yield from table(rows) if sent else ["nothing has left this site"]
    waiting = [item.name for item in found if item.state == "waiting"]
    if waiting:
        yield ""
        yield f"waiting for a person: {', '.join(waiting)} (`fedvox site studies`)"
