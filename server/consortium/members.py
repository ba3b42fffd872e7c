"""Who acts for the consortium, and who no longer belongs to it."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path

from fedvox.common.errors import InputError, nearest
from fedvox.common.identity.certificates import serial_of, utc_now
from fedvox.common.identity.credentials import write_bundle
from fedvox.common.identity.issuing import issue_operator
from fedvox.common.identity.keys import fingerprint, new_key, public_pem
from fedvox.common.identity.names import Rank, Role, checked_name
from fedvox.server.consortium.authority import Authority, moment, note_certificate
from fedvox.server.consortium.registry import SiteState

OPERATOR_DAYS = 365


def revoke_site(authority: Authority, name: str) -> bool:
    """Shuts a site out: certificates, key and kits; False where it was revoked before."""
    now = moment(utc_now())
    with authority.registry.changing() as database:
        row = database.execute(
            "SELECT state, public_key FROM sites WHERE name = ?", (name,)
        ).fetchone()
        if row is None:
            known = [one[0] for one in database.execute("SELECT name FROM sites")]
            hint = nearest(name, known) if known else "no site was invited yet"
            raise InputError(f"no site {name!r} in this consortium; {hint}")
        if row[0] == SiteState.REVOKED:
            return False
        if row[1] is not None:
            retire_key(database, Role.SITE, name, row[1], now)
        database.execute(
            "UPDATE sites SET state = 'revoked', public_key = NULL, revoked_at = ? WHERE name = ?",
            (now, name),
        )
        database.execute(
            "UPDATE invitations SET withdrawn_at = ? WHERE site = ? AND withdrawn_at IS NULL",
            (now, name),
        )
        authority.note("site-revoked", site=name)
    return True


def admit_operator(
    authority: Authority, name: str, rank: Rank, out: Path, days: int = OPERATOR_DAYS
) -> str:
    """Writes credentials for an operator, which end those from before; returns their fingerprint.

    An operator's key is made here, since whoever may run this can act as the consortium anyway.
    """
    checked_name(name, "person")
    if not 1 <= days <= 2 * OPERATOR_DAYS:
        raise InputError(
            f"--days {days}: credentials may be good for 1 to {2 * OPERATOR_DAYS} days"
        )
    if out.exists():
        raise InputError(f"{out}: exists already; credentials are never written over others")
    key, issuer, now = new_key(), authority.issuer(), utc_now()
    certificate = issue_operator(name, rank, key.public_key(), issuer, now, timedelta(days=days))
    own = authority.credentials()
    with authority.registry.changing() as database:
        _drop_operator(database, name, moment(now))
        database.execute(
            "INSERT OR REPLACE INTO operators VALUES (?, ?, ?, ?, NULL)",
            (name, str(rank), public_pem(key.public_key()), moment(now)),
        )
        note_certificate(database, certificate)
        authority.note(
            "operator-admitted",
            operator=name,
            rank=str(rank),
            fingerprint=fingerprint(certificate),
            serial=serial_of(certificate),
        )
        write_bundle(out, key, [certificate, issuer.certificate], own.root)
    return fingerprint(certificate)


def revoke_operator(authority: Authority, name: str) -> bool:
    """Takes an operator's rights away; False where there were none any more."""
    now = moment(utc_now())
    with authority.registry.changing() as database:
        row = database.execute(
            "SELECT revoked_at FROM operators WHERE name = ?", (name,)
        ).fetchone()
        if row is None:
            known = [one[0] for one in database.execute("SELECT name FROM operators")]
            raise InputError(f"no operator {name!r} in this consortium; {nearest(name, known)}")
        if row[0] is not None:
            return False
        _drop_operator(database, name, now)
        authority.note("operator-revoked", operator=name)
    return True


def _drop_operator(database: sqlite3.Connection, name: str, now: str) -> None:
    row = database.execute(
        "SELECT public_key FROM operators WHERE name = ? AND revoked_at IS NULL", (name,)
    ).fetchone()
    if row is not None:
        retire_key(database, Role.OPERATOR, name, row[0], now)
        database.execute("UPDATE operators SET revoked_at = ? WHERE name = ?", (now, name))


def retire_key(
    database: sqlite3.Connection, role: Role, name: str, public_key: bytes, now: str
) -> None:
    """Revokes a party's certificates, and lets nobody join with its key again."""
    database.execute("INSERT OR IGNORE INTO retired_keys VALUES (?, ?, ?)", (public_key, name, now))
    database.execute(
        "UPDATE certificates SET revoked_at = ? WHERE role = ? AND name = ? AND revoked_at IS NULL",
        (now, str(role), name),
    )
