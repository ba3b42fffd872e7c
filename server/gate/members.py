"""The registry's sites as the gate needs them: read again whenever the registry has changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from fedvox.common.identity.certificates import Identity, utc_now
from fedvox.common.identity.names import Role
from fedvox.server.consortium.registry import Registry, SiteState


class Admission(Protocol):
    """Says who may ask for what a site may ask for."""

    def why_not(self, identity: Identity | None) -> str:
        """The code under which somebody is turned away; empty for a member."""


class Members:
    """Who is a member, and with which key."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._changes = -1
        self._keys: dict[str, bytes] = {}
        self._good: dict[str, bool] = {}

    @property
    def keys(self) -> Mapping[str, bytes]:
        """Active sites and their public keys."""
        return self._keys

    def refresh(self) -> bool:
        """Reads the registry where it has changed; whether it has."""
        changes = self._registry.changes()
        if changes == self._changes:
            return False
        active = [one for one in self._registry.sites() if one.state is SiteState.ACTIVE]
        self._keys = {one.name: one.public_key for one in active if one.public_key}
        self._good = {serial: not self._registry.is_revoked(serial) for serial in self._good}
        self._changes = changes
        return True

    def why_not(self, identity: Identity | None) -> str:
        """The code under which somebody is turned away; empty for an active site."""
        if identity is None:
            return "no-certificate"
        if identity.role is not Role.SITE:
            return "not-a-site"
        if self._keys.get(identity.name) != identity.public_key:
            return "not-a-member"
        if identity.not_after <= utc_now():
            return "expired"
        if identity.serial not in self._good:
            self._good[identity.serial] = not self._registry.is_revoked(identity.serial)
        return "" if self._good[identity.serial] else "revoked"
