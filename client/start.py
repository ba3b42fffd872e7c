"""Start what a hospital runs: the trainer, which sees images, and the link, which has the network.

Runs until SIGTERM or Ctrl-C. Prints `site NAME ready` when both do what they are for; what they
say is in DIR/log/site.log, one JSON object a line. Each is started again when it ends.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from fedvox.common.home import add_home

if TYPE_CHECKING:
    from fedvox.common.supervise import Child


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what the command takes."""
    add_home(parser)
    parser.add_argument(
        "--data",
        default="",
        metavar="KIND:NAME",
        help="where the cases come from (default: as site.toml says)",
    )
    parser.add_argument(
        "--strict", action="store_true", help="the trainer refuses to start if it has a network"
    )
    parser.add_argument(
        "--foreground", action="store_true", help="show here as well what the processes say"
    )
    parser.add_argument(
        "--monitor-port", type=int, default=0, metavar="P",
        help="loopback port of /health and /metrics (default: none)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object when ready")


def run(args: argparse.Namespace) -> int:
    """Keeps both processes running."""
    import json
    import os
    from contextlib import ExitStack

    from fedvox.client.settings import SiteSettings
    from fedvox.common.home import home_of
    from fedvox.common.loglines import LineLog
    from fedvox.common.supervise import Supervisor

    home = home_of(args)
    settings = SiteSettings.load(home)
    log = LineLog(home / "log" / "site.log", show=args.foreground)

    def ready() -> None:
        said = {"site": settings.site, "state": "ready", "pid": os.getpid(), "home": str(home)}
        print(json.dumps(said) if args.json else f"site {settings.site} ready", flush=True)

    with ExitStack() as stack:
        stack.callback(log.close)
        if args.monitor_port:
            from fedvox.client.monitor import Monitor

            stack.callback(Monitor(home, args.monitor_port).stop)
        status = Supervisor(_children(args, str(home)), log, ready).run()
        if status:
            log.explain()
    return status


def _children(args: argparse.Namespace, home: str) -> list[Child]:
    import sys

    from fedvox.common.supervise import Child

    # -P: what lies in the folder that somebody happens to be in is not imported.
    python = (sys.executable, "-P", "-m")
    trainer = [*python, "fedvox.client.trainer", "--home", home]
    trainer += ["--data", args.data] if args.data else []
    trainer += ["--strict"] if args.strict else []
    link = (*python, "fedvox.client.link", "--home", home)
    return [Child("trainer", tuple(trainer)), Child("link", link)]
