"""The process that has the network and sees no images: `python -m fedvox.client.link --home DIR`.

Connects to the coordinator of HOME/site.toml with the certificate in HOME/identity, and passes what
is asked to the trainer's socket under HOME/run. Only ever dials out. Ends on SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import FrameType

from fedvox.client.contract.address import socket_of
from fedvox.client.contract.stub import TrainerStub
from fedvox.client.joining.renewal import renew_if_due
from fedvox.client.link.loop import Link
from fedvox.client.settings import SiteSettings
from fedvox.common.audit.trail import IDENTITY, trail
from fedvox.common.errors import FedvoxError
from fedvox.common.home import add_home, home_of
from fedvox.common.identity.credentials import Credentials
from fedvox.common.memory import give_large_blocks_back
from fedvox.common.supervised import die_with_parent, say_ready


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the link of the site whose folder the command line names; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fedvox.client.link", description=__doc__)
    add_home(parser)
    parser.add_argument("--json", action="store_true", help="log one JSON object a line")
    args = parser.parse_args(argv)
    home = home_of(args)
    die_with_parent()
    give_large_blocks_back()
    _log_lines(args.json)
    SiteSettings.load(home)
    with TrainerStub(socket_of(home)) as trainer:
        link = Link(
            home,
            trainer,
            partial(_recorded, home),
            partial(Credentials.load, home / IDENTITY),
            partial(renew_if_due, home),
        )
        link.connected = say_ready
        signal.signal(signal.SIGTERM, partial(_stop, link))
        signal.signal(signal.SIGINT, partial(_stop, link))
        link.run()
    return 0


def _recorded(home: Path, kind: str, fields: Mapping[str, object]) -> None:
    trail(home).append(kind, **fields)


def _stop(link: Link, number: int, frame: FrameType | None) -> None:
    """Leaves whatever is waited for; the connection is closed on the way out."""
    if not link.stop.is_set():
        link.stop.set()
        raise SystemExit(0)


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """One JSON object."""
        at = self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z")
        said = {"at": at, "level": record.levelname.lower(), "message": record.getMessage()}
        return json.dumps(said, ensure_ascii=False)


def _log_lines(as_json: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(_Lines() if as_json else plain)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in ("httpx", "httpcore", "flwr"):
        logging.getLogger(name).setLevel(logging.WARNING)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FedvoxError as error:
        print(f"link: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
