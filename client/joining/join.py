"""Joining a consortium with a kit: over the network, or by a request and an answer in files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from fedvox.client.joining.dialling import Proxy
from fedvox.client.joining.enrolling import enrol
from fedvox.client.joining.membership import (
    FOLDER,
    credentials_here,
    drop_pending,
    has_joined,
    is_pending,
    joined_with,
    keep,
    key_to_join_with,
    require_same_site,
)
from fedvox.client.settings import SiteSettings
from fedvox.common.audit.trail import trail
from fedvox.common.errors import IdentityError, InputError
from fedvox.common.files import write_text_atomic
from fedvox.common.identity.certificates import utc_now
from fedvox.common.identity.credentials import Credentials
from fedvox.common.identity.enrolment import MOST_BYTES, EnrolmentAnswer, EnrolmentRequest
from fedvox.common.identity.keys import PrivateKey, fingerprint
from fedvox.common.identity.kit import Kit
from fedvox.common.identity.refusals import EnrolmentRefused


class Outcome(StrEnum):
    """What a join came to."""

    JOINED = "joined"
    ALREADY = "already joined"
    REQUESTED = "requested"


@dataclass(frozen=True)
class Joined:
    """A join's outcome, and what both ends compare."""

    outcome: Outcome
    site: str
    consortium: str
    authority: str
    """Fingerprint of the consortium's root."""
    fingerprint: str
    """Of the site's own key."""
    not_after: str
    """When the certificate ends; empty where there is none yet."""


@dataclass(frozen=True)
class Wish:
    """What the person who joins has said besides the kit; None keeps what is there."""

    data: str | None = None
    proxy: str | None = None
    proxy_ca: str | None = None
    new_key: bool = False


def join(home: Path, kit: Kit, wish: Wish) -> Joined:
    """Joins over the network; where the site has joined already, only says so."""
    settings = _settings(home, kit, wish)
    there = _already(home, kit, wish)
    if there is not None:
        settings.save(home)
        return _joined(Outcome.ALREADY, kit, there)
    kit.require_unexpired(utc_now())
    begun_before = is_pending(home)
    key = key_to_join_with(home, wish.new_key)
    try:
        answer = enrol(kit, key, Proxy.of(settings))
    except EnrolmentRefused:
        if not begun_before:
            drop_pending(home)
        raise
    return _keep(home, kit, key, answer, settings)


def request(home: Path, kit: Kit, wish: Wish, out: Path) -> Joined:
    """Writes the request to a file that the operator signs; it holds nothing that is secret."""
    there = _already(home, kit, wish)
    if there is not None:
        return _joined(Outcome.ALREADY, kit, there)
    kit.require_unexpired(utc_now())
    key = key_to_join_with(home, wish.new_key)
    write_text_atomic(out, EnrolmentRequest.make(kit.site, key, kit.token).text())
    own = fingerprint(key.public_key())
    return Joined(Outcome.REQUESTED, kit.site, kit.consortium, kit.authority, own, "")


def take_answer(home: Path, kit: Kit, wish: Wish, path: Path) -> Joined:
    """Joins by the answer that the operator's `consortium sign` has written."""
    settings = _settings(home, kit, wish)
    answer = EnrolmentAnswer.parse(_content(path), str(path))
    return _keep(home, kit, key_to_join_with(home, False), answer, settings)


def _already(home: Path, kit: Kit, wish: Wish) -> Credentials | None:
    """The credentials of a site that has joined with this very kit; None where it is to join."""
    there = credentials_here(home)
    if there is None:
        return None
    require_same_site(home, kit, there)
    expired = utc_now() > there.identity.not_after
    used = joined_with(home, kit)
    if used and wish.new_key and not is_pending(home):
        raise InputError(
            f"the site has joined with this kit already, and a kit is good for one key: for a new "
            f"key ask the operator for a new kit (`fedvox consortium invite {kit.site} --again`)"
        )
    return None if expired or wish.new_key or not used else there


def _settings(home: Path, kit: Kit, wish: Wish) -> SiteSettings:
    before = SiteSettings.load(home) if has_joined(home) else SiteSettings(kit.site, "", ())
    if before.site != kit.site:
        raise IdentityError(
            f"{home}: is the folder of site {before.site}, and the kit is for {kit.site}; name "
            "another folder with --home"
        )
    settings = replace(
        before,
        consortium=kit.consortium,
        addresses=tuple(map(str, kit.addresses)),
        proxy=before.proxy if wish.proxy is None else wish.proxy,
        proxy_ca=before.proxy_ca if wish.proxy_ca is None else wish.proxy_ca,
        data=before.data if wish.data is None else wish.data,
    )
    Proxy.of(settings).require_usable()
    return settings


def _keep(
    home: Path, kit: Kit, key: PrivateKey, answer: EnrolmentAnswer, settings: SiteSettings
) -> Joined:
    answer.accepted(kit.authority, kit.site, key.public_key(), utc_now())
    keep(home, kit, key, answer, settings)
    joined = _joined(Outcome.JOINED, kit, Credentials.load(home / FOLDER))
    trail(home).append(
        "joined",
        site=joined.site,
        consortium=joined.consortium,
        authority=joined.authority,
        fingerprint=joined.fingerprint,
    )
    return joined


def _joined(outcome: Outcome, kit: Kit, own: Credentials) -> Joined:
    end = own.identity.not_after.isoformat(timespec="seconds")
    return Joined(outcome, kit.site, kit.consortium, own.authority, own.fingerprint, end)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
