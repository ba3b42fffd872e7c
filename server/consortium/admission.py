"""How a site is invited, certified, and certified again."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

from fedvox.common.errors import IdentityError, InputError
from fedvox.common.identity.addresses import parse_address
from fedvox.common.identity.certificates import Identity, serial_of, utc_now
from fedvox.common.identity.enrolment import (
    EnrolmentAnswer,
    EnrolmentRequest,
    invitation_of,
    new_token,
)
from fedvox.common.identity.issuing import issue_site
from fedvox.common.identity.keys import PublicKey, fingerprint, public_pem
from fedvox.common.identity.kit import Kit
from fedvox.common.identity.names import Role, checked_name
from fedvox.common.identity.refusals import EnrolmentRefusal, EnrolmentRefused
from fedvox.server.consortium.authority import Authority, moment, note_certificate
from fedvox.server.consortium.members import retire_key
from fedvox.server.consortium.registry import SiteState

KIT_DAYS = 7
_MOST_KIT_DAYS = 90


def invite(authority: Authority, site: str, days: int = KIT_DAYS, again: bool = False) -> Kit:
    """A kit for a site; with `again` also for one that is invited, has joined or was revoked."""
    checked_name(site, "site")
    if not 1 <= days <= _MOST_KIT_DAYS:
        raise InputError(f"--days {days}: a kit may be good for 1 to {_MOST_KIT_DAYS} days")
    now, token = utc_now().replace(microsecond=0), new_token()
    expires = now + timedelta(days=days)
    with authority.registry.changing() as database:
        _enter_site(database, site, again, moment(now))
        database.execute(
            "UPDATE invitations SET withdrawn_at = ? WHERE site = ? AND withdrawn_at IS NULL",
            (moment(now), site),
        )
        database.execute(
            "INSERT INTO invitations VALUES (?, ?, ?, ?, NULL, NULL, NULL)",
            (invitation_of(token), site, moment(now), moment(expires)),
        )
        authority.note("site-invited", site=site, expires=moment(expires), again=again)
    settings = authority.settings
    addresses = tuple(map(parse_address, settings.addresses))
    root = authority.credentials().authority
    return Kit(settings.name, site, addresses, root, token, expires)


def _enter_site(database: sqlite3.Connection, site: str, again: bool, now: str) -> None:
    row = database.execute("SELECT state FROM sites WHERE name = ?", (site,)).fetchone()
    if row is None:
        database.execute(
            "INSERT INTO sites VALUES (?, 'invited', NULL, ?, NULL, NULL)", (site, now)
        )
        return
    if not again:
        raise InputError(
            f"site {site} is {row[0]} already; with --again it gets a new kit, and every older one "
            "becomes worthless"
        )
    if row[0] == SiteState.REVOKED:
        database.execute(
            "UPDATE sites SET state = 'invited', invited_at = ?, revoked_at = NULL WHERE name = ?",
            (now, site),
        )


def enrol(authority: Authority, request: EnrolmentRequest) -> EnrolmentAnswer:
    """Certifies a site by its kit; its name is that of the invitation, whatever it calls itself.

    Raises EnrolmentRefused. A site that lost the answer may ask again with the same key until the
    kit expires; a copy of its request, or another key, gets nothing.
    """
    key, now = _proved_key(request), utc_now()
    if not request.has_token():
        raise EnrolmentRefused(EnrolmentRefusal.NOT_SIGNED)
    _require_known(authority, request.invitation)
    if public_pem(key) == authority.credentials().identity.public_key:
        raise EnrolmentRefused(EnrolmentRefusal.KEY_IN_USE)
    with authority.registry.changing() as database:
        site = _admitted(database, request, key, moment(now))
        _replace_key(database, site, key, moment(now))
        database.execute(
            "UPDATE sites SET state = 'active', public_key = ?, joined_at = ? WHERE name = ?",
            (public_pem(key), moment(now), site),
        )
        return _issued(authority, database, site, key, now, "site-joined")


def renew(
    authority: Authority, identity: Identity | None, request: EnrolmentRequest
) -> EnrolmentAnswer:
    """Certifies a site anew that is connected with its certificate; name and key stay."""
    if identity is None or identity.role is not Role.SITE:
        raise EnrolmentRefused(EnrolmentRefusal.NO_CERTIFICATE)
    key, now = _proved_key(request), utc_now()
    if public_pem(key) != identity.public_key:
        raise EnrolmentRefused(EnrolmentRefusal.OTHER_KEY)
    registry = authority.registry
    if registry.is_revoked(identity.serial):
        raise EnrolmentRefused(EnrolmentRefusal.REVOKED)
    with registry.changing() as database:
        row = database.execute(
            "SELECT state, public_key FROM sites WHERE name = ?", (identity.name,)
        ).fetchone()
        if row is None or row[0] != SiteState.ACTIVE:
            raise EnrolmentRefused(EnrolmentRefusal.REVOKED)
        if row[1] != identity.public_key:
            raise EnrolmentRefused(EnrolmentRefusal.OTHER_KEY)
        return _issued(authority, database, identity.name, key, now, "site-renewed")


def _require_known(authority: Authority, invitation: str) -> None:
    """Strangers are sent away by looking only, so that they keep nobody from changing anything."""
    with authority.registry.reading() as database:
        known = database.execute(
            "SELECT 1 FROM invitations WHERE invitation = ?", (invitation,)
        ).fetchone()
    if known is None:
        raise EnrolmentRefused(EnrolmentRefusal.TOKEN_UNKNOWN)


def _proved_key(request: EnrolmentRequest) -> PublicKey:
    try:
        return request.public_key()
    except IdentityError:
        raise EnrolmentRefused(EnrolmentRefusal.NOT_SIGNED) from None


def _admitted(
    database: sqlite3.Connection, request: EnrolmentRequest, key: PublicKey, now: str
) -> str:
    """The site that an invitation is for, once nothing speaks against it; notes the request."""
    row = database.execute(
        "SELECT site, expires_at, used_by, withdrawn_at FROM invitations WHERE invitation = ?",
        (request.invitation,),
    ).fetchone()
    if row is None or row[3] is not None:
        raise EnrolmentRefused(EnrolmentRefusal.TOKEN_UNKNOWN)
    site, expires_at, used_by, _ = row
    if now > expires_at:
        raise EnrolmentRefused(EnrolmentRefusal.TOKEN_EXPIRED)
    pem = public_pem(key)
    if used_by is not None and used_by != pem:
        raise EnrolmentRefused(EnrolmentRefusal.TOKEN_USED)
    if database.execute("SELECT 1 FROM requests WHERE digest = ?", (request.digest,)).fetchone():
        raise EnrolmentRefused(EnrolmentRefusal.REPLAYED)
    _require_unused(database, site, pem)
    database.execute(
        "INSERT INTO requests VALUES (?, ?, ?)", (request.digest, request.invitation, now)
    )
    database.execute(
        "UPDATE invitations SET used_at = coalesce(used_at, ?), used_by = ? WHERE invitation = ?",
        (now, pem, request.invitation),
    )
    return str(site)


def _require_unused(database: sqlite3.Connection, site: str, pem: bytes) -> None:
    if database.execute("SELECT 1 FROM retired_keys WHERE public_key = ?", (pem,)).fetchone():
        raise EnrolmentRefused(EnrolmentRefusal.KEY_RETIRED)
    others = database.execute(
        "SELECT 1 FROM sites WHERE public_key = ? AND name != ? "
        "UNION SELECT 1 FROM operators WHERE public_key = ?",
        (pem, site, pem),
    )
    if others.fetchone():
        raise EnrolmentRefused(EnrolmentRefusal.KEY_IN_USE)


def _replace_key(database: sqlite3.Connection, site: str, key: PublicKey, now: str) -> None:
    """A site that joins with another key than before loses the old one for good."""
    before = database.execute("SELECT public_key FROM sites WHERE name = ?", (site,)).fetchone()[0]
    if before is not None and before != public_pem(key):
        retire_key(database, Role.SITE, site, before, now)


def _issued(
    authority: Authority,
    database: sqlite3.Connection,
    site: str,
    key: PublicKey,
    now: datetime,
    kind: str,
) -> EnrolmentAnswer:
    issuer, own = authority.issuer(), authority.credentials()
    life = timedelta(days=authority.settings.site_certificate_days)
    certificate = issue_site(site, key, issuer, now, life)
    note_certificate(database, certificate)
    authority.note(
        kind,
        site=site,
        fingerprint=fingerprint(key),
        serial=serial_of(certificate),
        not_after=moment(certificate.not_valid_after_utc),
    )
    return EnrolmentAnswer((certificate, issuer.certificate), own.root, own.chain)
