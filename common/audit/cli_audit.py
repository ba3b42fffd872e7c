"""Check what both sides wrote down, offline.

fedvox audit verify coordinator.jsonl site-a.jsonl site-b.jsonl
fedvox audit show audit.jsonl

Checks every entry's chain and signature; with a coordinator's log and sites' logs together, also
what each says of the other: updates counted that no site has sent, rounds told otherwise than kept.
Exit status 1 where an entry does not hold; the first wrong one of each log is named. What was cut
off the end of a log shows against the other side's log only: nothing comes after it.

Whose keys have signed is checked against the consortium's root certificate: the one of --authority,
or the one beside a log, in identity/ca.pem. Without any, the logs may be anybody's.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from fedvox.common.home import add_home, home_of

if TYPE_CHECKING:
    from cryptography import x509

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
    from fedvox.common.audit.verify import open_log, wrongs
    from fedvox.common.identity.keys import fingerprint

    root = _root(args)
    logs = [open_log(path, root) for path in args.logs]
    found = wrongs(logs)
    known = fingerprint(root) if root is not None else None
    if args.json:
        told = {"authority": known, "logs": [_as_plain(log, found) for log in logs]}
        print(json.dumps({**told, "holds": not found}))
        return 1 if found else 0
    for log in logs:
        print(_line(log, found))
    whose = f"issued under the root {known}" if known else (
        "not checked: they may be anybody's. Give the consortium's root with --authority ROOT.pem"
    )  # fmt: skip
    print(f"certificates: {whose}")
    return 1 if found else 0


def _root(args: argparse.Namespace) -> x509.Certificate | None:
    """The root that was named, else the one that lies beside the logs."""
    from fedvox.common.errors import InputError

    if args.authority is not None:
        return _certificate(args.authority)
    beside = [path.parent / "identity" / "ca.pem" for path in args.logs]
    found = {path: _certificate(path) for path in beside if path.is_file()}
    if len(set(found.values())) > 1:
        names = ", ".join(map(str, found))
        raise InputError(f"{names}: are roots of several consortia; name one with --authority")
    return next(iter(found.values()), None)


def _certificate(path: Path) -> x509.Certificate:
    from cryptography import x509

    from fedvox.common.errors import InputError

    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        raise InputError(f"{path}: is no certificate that can be read") from None


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
