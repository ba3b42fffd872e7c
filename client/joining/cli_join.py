"""`fedvox site join KIT`: become a site of the consortium whose operator sent the kit.

The site's key is made here and never leaves. Where the network is not open yet:
    fedvox site join KIT --request FILE     write a request; the operator signs it
    fedvox site join KIT --answer FILE      take the answer
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fedvox.common.home import add_home

if TYPE_CHECKING:
    from fedvox.client.joining.join import Joined


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what the command takes."""
    parser.add_argument("kit", type=Path, metavar="KIT", help="the file that the operator sent")
    add_home(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--data", default=None, metavar="SPEC",
        help="where the cases come from: dataset:NAME, or phantom:INDEX to try a consortium out",
    )  # fmt: skip
    parser.add_argument("--proxy", default=None, metavar="URL", help="dial out through this proxy")
    parser.add_argument(
        "--proxy-ca", default=None, metavar="FILE", help="who vouches for an https proxy"
    )
    parser.add_argument("--new-key", action="store_true", help="give up the site's key from before")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--request", type=Path, metavar="FILE", help="write a request to this file")
    ways.add_argument("--answer", type=Path, metavar="FILE", help="take the operator's answer")


def run(args: argparse.Namespace) -> int:
    """Joins, and prints the fingerprints that both ends compare."""
    import json
    from dataclasses import asdict

    from fedvox.client.joining.join import Wish, join, request, take_answer
    from fedvox.common.home import home_of
    from fedvox.common.identity.kit import Kit

    home, kit = home_of(args), Kit.read(args.kit)
    proxy_ca = str(Path(args.proxy_ca).absolute()) if args.proxy_ca else args.proxy_ca
    wish = Wish(args.data, args.proxy, proxy_ca, args.new_key)
    if args.request is not None:
        done = request(home, kit, wish, args.request)
    elif args.answer is not None:
        done = take_answer(home, kit, wish, args.answer)
    else:
        done = join(home, kit, wish)
    if args.json:
        print(json.dumps({"home": str(home), **asdict(done)}))
    else:
        print(_text(done, home, args.request))
    return 0


def _text(done: Joined, home: Path, out: Path | None) -> str:
    from fedvox.common.identity.keys import grouped

    compare = (
        f"  its root         {grouped(done.authority)}\n"
        f"  this site's key  {grouped(done.fingerprint)}\n"
        "Compare both with the operator by telephone (`fedvox consortium sites`)."
    )
    if done.outcome == "requested":
        head = f"{out}: the request of {done.site}; send it to the operator of {done.consortium}"
    else:
        head = f"{done.site} has {done.outcome} {done.consortium}; {home}"
    return "\n".join([head, compare, *_about_policy(home)])


def _about_policy(home: Path) -> list[str]:
    """A policy counts only with the site's own signature, and a new key has made none yet."""
    from fedvox.client.policy.signature import policy_of
    from fedvox.common.errors import FedvoxError

    try:
        policy_of(home)
    except FedvoxError as error:
        return [f"NOTHING RUNS YET: {error}"]
    return []
