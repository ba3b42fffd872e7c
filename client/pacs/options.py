"""The options that the commands about a PACS have in common."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedvox.client.pacs.part import Limits
    from fedvox.client.pacs.tls import TlsFiles

_MIB = 1 << 20


def add_listening(parser: argparse.ArgumentParser) -> None:
    """Declares how this side is called, who may send, and what is accepted."""
    add = parser.add_argument
    add("--ae-title", default="FEDVOX", metavar="AE", help="our AE title (default: FEDVOX)")
    add(
        "--allow",
        action="append",
        default=[],
        metavar="AE[@HOST]",
        help="who may send: an AE title or *, from anywhere or from a host, an address or a "
        "network such as 10.1.0.0/16; may be given again",
    )
    add("--bind", default="", metavar="ADDRESS", help="listen on this address only")
    add(
        "--associations",
        type=int,
        default=16,
        metavar="N",
        help="connections served at the same time (default: 16)",
    )
    add(
        "--idle-s",
        type=float,
        default=60.0,
        metavar="S",
        help="a sender that is silent for so long is cut off (default: 60)",
    )
    add(
        "--reserve-mib",
        type=int,
        default=1024,
        metavar="N",
        help="refuse objects when less of the disk is free (default: 1024)",
    )


def limits_of(args: argparse.Namespace) -> Limits:
    """What a spool accepts."""
    from fedvox.client.pacs.part import Limits

    return Limits(reserve_bytes=args.reserve_mib * _MIB)


def add_tls(parser: argparse.ArgumentParser) -> None:
    """Declares the files for TLS."""
    for name, text in (
        ("cert", "this site's certificate (PEM)"),
        ("key", "its private key, readable by its owner only"),
        ("ca", "the authority whose certificates the other side must show"),
    ):
        parser.add_argument(
            f"--tls-{name}", type=Path, default=None, metavar="FILE", help=f"TLS: {text}"
        )


def tls_of(args: argparse.Namespace) -> TlsFiles:
    """The files that were named."""
    from fedvox.client.pacs.tls import TlsFiles

    return TlsFiles(args.tls_cert, args.tls_key, args.tls_ca)


def add_ingest_options(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `fedvox site ingest` that hold here as well."""
    add = parser.add_argument
    add("--task", default="", metavar="NAME", help="as of fedvox site ingest")
    add("--keep", action="append", default=[], choices=("age", "sex"), help="as there")
    add("--deface", action="store_true", help="as there")


def ingest_options(args: argparse.Namespace) -> tuple[str, ...]:
    """Those that were given, as words of the command; InputError where the ingest would refuse."""
    from fedvox.client.deid.permitted import permitted
    from fedvox.common.home import home_of

    permitted(home_of(args), args.keep)
    task = ("--task", args.task) if args.task else ()
    keep = tuple(word for item in args.keep for word in ("--keep", item))
    return (*task, *keep, *(("--deface",) if args.deface else ()))
