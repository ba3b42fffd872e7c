"""`fedvox site listen`: takes what a PACS pushes (C-STORE) and ingests it.

Enter this machine in the PACS under --ae-title and --port. Who may send is said with --allow;
without it, and without --tls-ca, only this machine may. What was acknowledged is on the disk, and a
listener that was killed goes on with it. Ends in order with SIGTERM.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from fedvox.client.pacs.options import add_ingest_options, add_listening, add_tls
from fedvox.common.home import add_home

if TYPE_CHECKING:
    from fedvox.client.pacs.receiver import Listening


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what the command takes."""
    add = parser.add_argument
    add_home(parser)
    add("--dataset", required=True, metavar="NAME", help="the dataset to import into")
    add("--port", type=int, required=True, metavar="P", help="where to listen; 0: a free one")
    add_listening(parser)
    add(
        "--quiet-s",
        type=float,
        default=10.0,
        metavar="S",
        help="a study is ingested when nothing came for it for so long and its senders have left "
        "(default: 10)",
    )
    add_tls(parser)
    add_ingest_options(parser)
    add("--json", action="store_true", help="print one JSON object at the end")


def run(args: argparse.Namespace) -> int:
    """Listens until SIGTERM."""
    import json
    import threading

    from fedvox.client.pacs.ingesting import IngestCommand
    from fedvox.client.pacs.listen import Emptying, Rest, listen
    from fedvox.client.pacs.options import ingest_options, limits_of
    from fedvox.client.pacs.pulling import say, stopping
    from fedvox.client.pacs.receiver import Receiver
    from fedvox.client.pacs.refused import RefusedLog
    from fedvox.client.pacs.silence import silence
    from fedvox.client.pacs.spool import Spool
    from fedvox.common.home import home_of
    from fedvox.common.supervised import say_ready

    home, own, stop = home_of(args), _listening(args), threading.Event()
    refused, rest = RefusedLog(home, say), Rest(args.quiet_s)
    with silence(), stopping(stop), Spool(home, args.dataset, "listen", limits_of(args)) as spool:
        ingest = IngestCommand(home, args.dataset, ingest_options(args), stop)
        emptying = Emptying(spool, ingest, say)
        with Receiver(own, spool.begin, spool.store, refused, rest.touched) as receiver:
            say(f"ready: {own.title} listens on port {receiver.port} of {own.address}")
            say_ready()
            listen(receiver, spool, rest, emptying, stop)
        waiting = len(spool.studies()) + len(spool.taken())
    summary = {
        "dataset": args.dataset,
        "received": receiver.tally.received,
        "not_stored": dict(receiver.tally.not_stored),
        "refused": refused.count,
        "waiting": waiting,
        **emptying.outcome.as_plain(),
    }
    refused.close()
    print(json.dumps(summary) if args.json else _text(summary))
    return 0


def _listening(args: argparse.Namespace) -> Listening:
    from fedvox.client.pacs.allow import ANYBODY, LOOPBACK, AllowList, checked_title
    from fedvox.client.pacs.options import tls_of
    from fedvox.client.pacs.receiver import Listening

    tls = tls_of(args)
    unnamed = ANYBODY if tls.mutual else LOOPBACK
    allow = AllowList.of(args.allow) if args.allow else unnamed
    return Listening(
        checked_title(args.ae_title),
        args.port,
        allow,
        args.bind or ("127.0.0.1" if allow is LOOPBACK else "0.0.0.0"),
        tls,
        args.associations,
        args.idle_s,
    )


def _text(summary: dict[str, object]) -> str:
    return (
        f"{summary['received']} objects received, {summary['studies']} studies ingested, "
        f"{summary['waiting']} waiting; {summary['refused']} associations refused"
    )
