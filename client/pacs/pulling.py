"""Puts together what `fedvox site pull` was asked for, and lets it run."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from fedvox.client.pacs.allow import Allowed, AllowList, checked_title
from fedvox.client.pacs.archive import Archive, Into
from fedvox.client.pacs.ingesting import IngestCommand
from fedvox.client.pacs.listen import Emptying
from fedvox.client.pacs.options import ingest_options, limits_of, tls_of
from fedvox.client.pacs.peer import Asking, Peer
from fedvox.client.pacs.pull import Pace, Pull
from fedvox.client.pacs.query import Wanted
from fedvox.client.pacs.receiver import Listening, Receiver
from fedvox.client.pacs.record import Record
from fedvox.client.pacs.refused import RefusedLog
from fedvox.client.pacs.spool import Spool
from fedvox.common.home import home_of


def pull(args: argparse.Namespace, wanted: Wanted | None) -> dict[str, Any]:
    """Runs until everything was fetched, or SIGTERM; what it came to."""
    home, stop = home_of(args), threading.Event()
    with ExitStack() as stack:
        stack.enter_context(stopping(stop))
        spool = stack.enter_context(Spool(home, args.dataset, "pull", limits_of(args)))
        into = Into(spool)
        archive = stack.enter_context(closing(_archive(args, into)))
        if args.peer and args.method == "move":
            refused = stack.enter_context(closing(RefusedLog(home, say)))
            stack.enter_context(_receiving(args, into, refused))
        record = stack.enter_context(closing(Record(home, args.dataset)))
        ingest = IngestCommand(home, args.dataset, ingest_options(args), stop)
        emptying = Emptying(spool, ingest, say)
        pace = Pace(args.limit, args.per_minute)
        pulled = Pull(archive, into, spool, record, emptying, pace, say, stop).run(wanted)
        return {
            "dataset": args.dataset,
            **pulled.as_plain(),
            **emptying.outcome.as_plain(),
            "series": dict(record.states()),
        }


def say(text: str) -> None:
    """A line for whoever watches; never with anything of a patient."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def stopping(stop: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set `stop`: what is in hand is brought to an end that can be gone on."""
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _archive(args: argparse.Namespace, into: Into) -> Archive:
    if args.dicomweb:
        from fedvox.client.pacs.dicomweb import Web, WebArchive, token_in

        token = token_in(args.token_file)
        return WebArchive(Web(args.dicomweb, token, args.patience_s, tls_of(args)), into)
    from fedvox.client.pacs.dimse import DimseArchive

    title = checked_title(args.ae_title)
    peer = Peer.of(args.peer)
    return DimseArchive(Asking(peer, title, args.method, args.patience_s, tls_of(args)), into)


def _receiving(args: argparse.Namespace, into: Into, refused: RefusedLog) -> Receiver:
    """The SCP that C-MOVE sends to: open for the PACS that was asked, or for who was named."""
    peer = Peer.of(args.peer)
    named = AllowList.of(args.allow) if args.allow else AllowList((Allowed(peer.title, peer.host),))
    own = Listening(
        checked_title(args.ae_title),
        args.port,
        named,
        args.bind or "0.0.0.0",
        tls_of(args),
        args.associations,
        args.idle_s,
    )
    return Receiver(own, into.begin, into.store, refused)
