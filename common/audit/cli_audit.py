"""Check what both sides wrote down, offline.

fedvox audit verify coordinator.jsonl site-a.jsonl site-b.jsonl
fedvox audit show audit.jsonl

Checks every entry's chain and signature; with a coordinator's log and sites' logs together, also
what each says of the other: updates counted that no site has sent, rounds told otherwise than kept.
Exit status 1 where an entry does not hold; the first wrong one of each log is named.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from fedvox.common.home import add_home, home_of

if TYPE_CHECKING:
    from fedvox.common.audit.verify import Log, Wrong


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-commands of `fedvox audit`."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="verify|show")
    verify = commands.add_parser("verify", help="check logs by themselves and against each other")
    verify.add_argument("logs", nargs="*", type=Path, metavar="FILE", help="(HOME/audit.jsonl)")
    verify.add_argument(
        "--authority", type=Path, metavar="ROOT.pem", help="the consortium's root certificate"
    )
    show = commands.add_parser("show", help="print a log for reading")
    show.add_argument("logs", nargs="*", type=Path, metavar="FILE", help="(HOME/audit.jsonl)")
    for command in (verify, show):
        add_home(command)
        command.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Does what `fedvox audit` was asked for."""
    if not args.logs:
        from fedvox.common.audit.trail import FILE

        args.logs = [home_of(args) / FILE]
    return _show(args.logs[0], args.json) if args.action == "show" else _verify(args)


def _verify(args: argparse.Namespace) -> int:
    from cryptography import x509

    from fedvox.common.audit.verify import open_log, wrongs
    from fedvox.common.errors import InputError

    authority = None
    if args.authority is not None:
        try:
            authority = x509.load_pem_x509_certificate(args.authority.read_bytes())
        except (OSError, ValueError):
            raise InputError(f"{args.authority}: is no certificate that can be read") from None
    logs = [open_log(path, authority) for path in args.logs]
    found = wrongs(logs)
    if args.json:
        print(json.dumps({"logs": [_as_plain(log, found) for log in logs], "holds": not found}))
    else:
        for log in logs:
            print(_line(log, found))
    return 1 if found else 0


def _as_plain(log: Log, found: list[Wrong]) -> dict[str, object]:
    own = [wrong for wrong in found if wrong.file == log.file]
    return {
        "file": str(log.file),
        "owner": log.owner,
        "role": str(log.role),
        "entries": len(log.lines),
        "wrong": [{"entry": wrong.sequence, "text": wrong.text} for wrong in own],
    }


def _line(log: Log, found: list[Wrong]) -> str:
    own = sorted((w for w in found if w.file == log.file), key=lambda wrong: wrong.sequence)
    if not own:
        return f"{log.file}: {log.role} {log.owner}, {len(log.lines)} entries, all hold"
    more = f" (and {len(own) - 1} more)" if len(own) > 1 else ""
    return f"{log.file}: {log.role} {log.owner}: entry {own[0].sequence}: {own[0].text}{more}"


def _show(path: Path, as_json: bool) -> int:
    from fedvox.common.audit.log import read_log

    lines = read_log(path)
    if as_json:
        entries = [{"sequence": line.link.sequence, **line.fields} for line in lines]
        print(json.dumps({"file": str(path), "entries": entries}, ensure_ascii=False))
        return 0
    for line in lines:
        told = {k: v for k, v in line.fields.items() if k not in ("at", "kind", "certificate")}
        text = "  ".join(f"{name}={_short(value)}" for name, value in told.items())
        print(f"{line.link.sequence:>5}  {line.fields.get('at')}  {line.kind:<12} {text}")
    return 0


def _short(value: object) -> str:
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 and text.isalnum() else text
