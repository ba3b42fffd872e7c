"""What the operator of a consortium runs, on the coordinator's machine.

fedvox consortium init DIR           make a consortium: its root, coordinator and first operator
fedvox consortium invite SITE        write the kit with which a hospital joins
fedvox consortium sites              who was invited, has joined, was revoked
fedvox consortium revoke SITE        shut a hospital out
fedvox consortium operator NAME      write the credentials of a person who steers studies
fedvox consortium sign REQUEST       answer a hospital that joins by exchanging files
fedvox consortium rotate             a new issuing key, signed by the root that is kept elsewhere
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fedvox.common.home import add_home

_RANKS = ("viewer", "operator", "admin")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the sub-commands and what they take."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="COMMAND")
    _init(_command(commands, "init", "make a consortium in a new folder"))
    _invite(_command(commands, "invite", "write the kit with which a site joins"))
    _command(commands, "sites", "who was invited, has joined, was revoked")
    revoke = _command(commands, "revoke", "shut a site out, at once")
    revoke.add_argument("site", metavar="SITE")
    _operator(_command(commands, "operator", "write an operator's credentials, or revoke them"))
    sign = _command(commands, "sign", "answer a site's request that came as a file")
    sign.add_argument("request", type=Path, metavar="REQUEST")
    sign.add_argument("--out", type=Path, required=True, metavar="FILE", help="the answer")
    rotate = _command(commands, "rotate", "make a new issuing key and the coordinator's papers")
    rotate.add_argument(
        "--root-key", type=Path, default=None, metavar="FILE",
        help="the root's key, where it was moved away (default: DIR/authority/root.key)",
    )  # fmt: skip


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    add_home(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", type=Path, nargs="?", metavar="DIR", help="the same as --home DIR")
    parser.add_argument("--name", default="", help="of the consortium (default: consortium)")
    parser.add_argument(
        "--address", action="append", default=[], metavar="HOST:PORT",
        help="where the sites reach it; may be given several times (default: this machine only)",
    )  # fmt: skip


def _invite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("site", metavar="SITE", help="small letters, digits, hyphens")
    parser.add_argument("--out", type=Path, metavar="FILE", help="(default: SITE.kit)")
    parser.add_argument("--days", type=int, default=7, help="the kit is good for (default: 7)")
    parser.add_argument("--again", action="store_true", help="for a site that had a kit before")


def _operator(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--rank", choices=_RANKS, help="what the operator may do")
    parser.add_argument("--out", type=Path, metavar="FILE", help="(default: NAME.pem)")
    parser.add_argument("--days", type=int, default=365, help="good for (default: 365)")
    parser.add_argument("--revoke", action="store_true", help="take the operator's rights away")


def run(args: argparse.Namespace) -> int:
    """Does what `fedvox consortium` was asked for, and says what came of it."""
    import json

    from fedvox.common.home import home_of
    from fedvox.server.consortium import acts

    if args.action == "init" and args.dir is not None:
        args.home = args.dir
    said = getattr(acts, args.action)(home_of(args), args)
    print(json.dumps(said.fields, ensure_ascii=False) if args.json else said.text)
    return 0
