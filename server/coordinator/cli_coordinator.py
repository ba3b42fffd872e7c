"""Run the coordinator of a consortium on this machine.

fedvox coordinator start DIR [--port P]     until SIGTERM; says one line when it is ready

DIR is what `fedvox consortium init DIR` made. One port faces outward and speaks mutual TLS only;
operators use `fedvox study ... --home DIR` on this machine, through a socket in DIR. Operators with
accounts of their own, who cannot look into DIR, use the socket named with --operator-socket:
`fedvox study ... --socket PATH --operator ann.pem`; each may do what the rank in the credential
says. If the process dies it is started again, and studies go on from their last checkpoint. What it
says is in DIR/log/coordinator.log, one JSON object a line.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fedvox.common.home import add_home, home_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-commands of `fedvox coordinator`."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="start")
    start = commands.add_parser("start", help="run the coordinator until SIGTERM")
    start.add_argument("dir", type=Path, nargs="?", metavar="DIR", help="the same as --home DIR")
    add_home(start)
    start.add_argument("--port", type=int, default=0, metavar="P", help="(coordinator.toml)")
    start.add_argument(
        "--monitor-port", type=int, default=0, metavar="P",
        help="loopback port of /health and /metrics (default: none)",
    )  # fmt: skip
    start.add_argument(
        "--operator-socket", type=Path, metavar="PATH",
        help="also answer operators of other accounts of this machine, at PATH",
    )  # fmt: skip
    start.add_argument("--at-once", type=int, default=1, metavar="N", help="studies at a time")
    start.add_argument(
        "--foreground", action="store_true", help="show here as well what the process says"
    )
    start.add_argument("--json", action="store_true", help="print one JSON object when ready")


def run(args: argparse.Namespace) -> int:
    """Keeps the coordinator running."""
    import json
    import sys

    from fedvox.common.loglines import LineLog
    from fedvox.common.supervise import Child, Supervisor
    from fedvox.server.consortium.settings import CoordinatorSettings

    if args.dir is not None:
        args.home = args.dir
    home = home_of(args)
    settings = CoordinatorSettings.load(home)
    port = args.port or settings.port
    # -P: what lies in the folder that somebody happens to be in is not imported.
    command = [sys.executable, "-P", "-m", "fedvox.server.coordinator", "--home", str(home)]
    command += ["--port", str(port), "--monitor-port", str(args.monitor_port)]
    command += ["--at-once", str(args.at_once)]
    if args.operator_socket is not None:
        command += ["--operator-socket", str(args.operator_socket.absolute())]

    log = LineLog(home / "log" / "coordinator.log", show=args.foreground)

    def ready() -> None:
        told = {"ready": settings.name, "host": settings.host, "port": port}
        where = f"{settings.host}:{port}"
        print(json.dumps(told) if args.json else f"coordinator ready on {where}", flush=True)

    try:
        child = Child("coordinator", tuple(command), stop_s=30.0)
        status = Supervisor([child], log, ready).run()
        if status:
            log.explain()
        return status
    finally:
        log.close()
