"""Renewing a site's certificate before it ends, over the connection that it opens."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from fedvox.client.joining.dialling import Proxy
from fedvox.client.joining.enrolling import renew
from fedvox.client.joining.membership import FOLDER, keep_renewed
from fedvox.client.settings import SiteSettings
from fedvox.common.audit.trail import trail
from fedvox.common.errors import IdentityError
from fedvox.common.identity.addresses import parse_address
from fedvox.common.identity.certificates import utc_now
from fedvox.common.identity.credentials import Credentials


def renew_if_due(home: Path, now: datetime | None = None) -> bool:
    """Renews the certificate from half of its life on; True where a new one is in its place.

    The key stays. Raises UnreachableError (ask again later), EnrolmentRefused (the coordinator
    will not), or IdentityError where the certificate has ended and only a new kit helps.
    """
    own = Credentials.load(home / FOLDER)
    time = now or utc_now()
    if not own.renewal_due(time):
        return False
    if time > own.identity.not_after:
        raise IdentityError(
            f"the site's certificate ended on {own.identity.not_after:%Y-%m-%d %H:%M} UTC, while "
            "the coordinator was out of reach; ask the operator for a new kit (`fedvox consortium "
            f"invite {own.identity.name} --again`) and join with it; the key stays"
        )
    settings = SiteSettings.load(home)
    addresses = tuple(map(parse_address, settings.addresses))
    answer = renew(own, addresses, Proxy.of(settings))
    identity = answer.accepted(own.authority, own.identity.name, own.key.public_key(), utc_now())
    keep_renewed(home, answer)
    trail(home).append("renewed", not_after=identity.not_after.isoformat(timespec="seconds"))
    return True
