"""The acts of `fedvox consortium`, each with what it says to people and to programs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedvox.common.errors import InputError
from fedvox.common.files import write_text_atomic
from fedvox.common.identity.addresses import parse_address
from fedvox.common.identity.enrolment import MOST_BYTES, EnrolmentRequest
from fedvox.common.identity.keys import fingerprint, grouped, public_key_of
from fedvox.common.identity.names import Rank
from fedvox.common.identity.refusals import EnrolmentRefused
from fedvox.server.consortium import founding
from fedvox.server.consortium.admission import enrol
from fedvox.server.consortium.admission import invite as make_kit
from fedvox.server.consortium.authority import (
    AUTHORITY,
    OPERATOR_FILE,
    Authority,
    renew_coordinator,
)
from fedvox.server.consortium.members import admit_operator, revoke_operator, revoke_site
from fedvox.server.consortium.recording import authority_at
from fedvox.server.consortium.registry import SiteEntry
from fedvox.server.consortium.settings import DEFAULT_NAME, settings_for


@dataclass(frozen=True)
class Said:
    """What a command prints: lines for people, an object for programs."""

    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)


def init(home: Path, args: argparse.Namespace) -> Said:
    """Makes a consortium."""
    addresses = tuple(map(parse_address, args.address))
    settings = settings_for(args.name or DEFAULT_NAME, addresses)
    founding.found(home, settings)
    authority = authority_at(home)
    own = authority.credentials()
    authority.note("consortium-founded", authority=own.authority, coordinator=own.fingerprint)
    operator = home / OPERATOR_FILE
    admit_operator(authority, "admin", Rank.ADMIN, operator)
    root_key = home / AUTHORITY / "root.key"
    lines = [
        f"consortium {settings.name} in {home}",
        f"  root         {grouped(own.authority)}",
        f"  coordinator  {grouped(own.fingerprint)}",
        f"  reached at   {', '.join(settings.addresses)}",
        f"  operator     {operator} (admin)",
        f"Move {root_key} to a safe place off this machine: only `rotate` needs it.",
    ]
    if not addresses:
        lines.append("Only this machine can reach it; --address HOST:PORT names where others do.")
    return Said(
        "\n".join(lines),
        {
            "name": settings.name,
            "home": str(home),
            "authority": own.authority,
            "coordinator": own.fingerprint,
            "addresses": list(settings.addresses),
            "operator": str(operator),
            "root_key": str(root_key),
        },
    )


def invite(home: Path, args: argparse.Namespace) -> Said:
    """Writes a kit."""
    out = args.out or Path(f"{args.site}.kit")
    if not out.parent.is_dir():
        raise InputError(f"{out}: there is no folder {out.parent}")
    kit = make_kit(authority_at(home), args.site, args.days, args.again)
    kit.write(out)
    text = (
        f"{out}: the kit of {kit.site}, good once, until {kit.expires:%Y-%m-%d %H:%M} UTC\n"
        f"  root  {grouped(kit.authority)}\n"
        "Send it on a way that others cannot read, and compare the root by telephone."
    )
    fields = {"site": kit.site, "kit": str(out), "authority": kit.authority}
    return Said(text, {**fields, "expires": kit.expires.isoformat()})


def sites(home: Path, args: argparse.Namespace) -> Said:
    """Lists the sites."""
    entries = authority_at(home).registry.sites()
    rows = [_fields(entry) for entry in entries]
    if not rows:
        return Said("no site was invited yet; `fedvox consortium invite SITE`", {"sites": []})
    return Said(_listed(rows), {"sites": rows})


def _fields(entry: SiteEntry) -> dict[str, str]:
    key = fingerprint(public_key_of(entry.public_key)) if entry.public_key else ""
    return {
        "name": entry.name,
        "state": str(entry.state),
        "invited_at": entry.invited_at,
        "joined_at": entry.joined_at or "",
        "revoked_at": entry.revoked_at or "",
        "certificate_until": entry.not_after or "",
        "fingerprint": key,
    }


def _listed(rows: Sequence[Mapping[str, str]]) -> str:
    width = max(len(row["name"]) for row in rows)
    lines = []
    for row in rows:
        since = row["revoked_at"] or row["joined_at"] or row["invited_at"]
        lines.append(f"{row['name']:<{width}}  {row['state']:<8}  since {since}")
        if row["fingerprint"]:
            lines.append(f"{'':<{width}}  key {grouped(row['fingerprint'])}")
    return "\n".join(lines)


def revoke(home: Path, args: argparse.Namespace) -> Said:
    """Shuts a site out."""
    done = revoke_site(authority_at(home), args.site)
    text = f"{args.site} is revoked; a running coordinator ends its connections within 10 s"
    text = text if done else f"{args.site} was revoked before"
    return Said(text, {"site": args.site, "revoked": True, "changed": done})


def operator(home: Path, args: argparse.Namespace) -> Said:
    """Admits or revokes an operator."""
    authority = authority_at(home)
    if args.revoke:
        done = revoke_operator(authority, args.name)
        text = f"{args.name} has no rights {'any more' if done else 'as it was'}"
        return Said(text, {"operator": args.name, "revoked": True, "changed": done})
    if args.rank is None:
        raise InputError("what may the operator do? Give --rank viewer, operator or admin")
    out = args.out or Path(f"{args.name}.pem")
    key = admit_operator(authority, args.name, Rank(args.rank), out, args.days)
    text = f"{out}: the credentials of {args.name} ({args.rank})\n  key  {grouped(key)}"
    fields = {"operator": args.name, "rank": args.rank, "file": str(out), "fingerprint": key}
    return Said(text, fields)


def sign(home: Path, args: argparse.Namespace) -> Said:
    """Answers a request that came as a file."""
    authority = authority_at(home)
    request = EnrolmentRequest.parse(_content(args.request), str(args.request))
    try:
        answer = enrol(authority, request)
    except EnrolmentRefused as refused:
        authority.note("enrolment-refused", code=str(refused.refusal), site="")
        raise InputError(f"{args.request}: {refused}") from None
    write_text_atomic(args.out, answer.text())
    return _signed(args.out, authority, fingerprint(request.public_key()))


def _signed(out: Path, authority: Authority, key: str) -> Said:
    names = [row["name"] for row in map(_fields, authority.registry.sites())
             if row["fingerprint"] == key]  # fmt: skip
    text = f"{out}: the answer for {names[0]}; send it back\n  key  {grouped(key)}"
    return Said(text, {"site": names[0], "answer": str(out), "fingerprint": key})


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def rotate(home: Path, args: argparse.Namespace) -> Said:
    """Makes a new issuing key."""
    authority = authority_at(home)
    root = founding.read_root(home, args.root_key or home / AUTHORITY / "root.key")
    issuer = founding.renew_issuing(home / AUTHORITY, authority.settings.name, root)
    authority.note("issuing-renewed", fingerprint=fingerprint(issuer.certificate))
    renew_coordinator(authority)
    text = (
        "a new issuing key signs from now on; certificates signed by the old one stay good, and "
        "sites take the new chain when they renew theirs. Restart the coordinator"
    )
    return Said(text, {"issuing": fingerprint(issuer.certificate)})
