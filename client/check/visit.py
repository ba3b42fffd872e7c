"""A site as it is looked at: what several checks need is opened once, and kept."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fedvox.client.settings import FILE, SiteSettings
from fedvox.common.errors import FedvoxError, SiteError
from fedvox.common.identity.addresses import Address, parse_address

if TYPE_CHECKING:
    from fedvox.client.check.calling import Call
    from fedvox.client.check.supply import Supply
    from fedvox.client.check.trying import Failed, Trial
    from fedvox.client.joining.dialling import Proxy
    from fedvox.client.policy.rules import Policy
    from fedvox.common.identity.credentials import Credentials
    from fedvox.common.identity.kit import Kit
    from fedvox.common.study import Study


@dataclass(frozen=True)
class Visit:
    """One look at a site, for one study or for none."""

    home: Path
    study: Study | None = None
    data: str = ""
    """Where the cases come from; empty: as site.toml says."""
    kit: Kit | None = None
    """Of a site that has not joined yet."""

    @cached_property
    def settings(self) -> SiteSettings | None:
        """site.toml; None where the site has not joined."""
        return SiteSettings.load(self.home) if (self.home / FILE).exists() else None

    @cached_property
    def spec(self) -> str:
        """Where the cases come from; empty: nobody said."""
        return self.data or (self.settings.data if self.settings else "")

    @cached_property
    def credentials(self) -> Credentials | None:
        """Key and certificate; None where the site has not joined."""
        if self.settings is None:
            return None
        from fedvox.common.audit.trail import IDENTITY
        from fedvox.common.identity.credentials import Credentials

        return Credentials.load(self.home / IDENTITY)

    @cached_property
    def addresses(self) -> tuple[Address, ...]:
        """Where the coordinator should be; none where nobody said."""
        if self.settings is not None:
            return tuple(map(parse_address, self.settings.addresses))
        return self.kit.addresses if self.kit else ()

    @cached_property
    def proxy(self) -> Proxy:
        """What the site dials out through."""
        from fedvox.client.joining.dialling import Proxy

        return Proxy.of(self.settings) if self.settings else Proxy()

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """What came of calling each of the coordinator's addresses over TLS."""
        from fedvox.client.check.calling import call

        return tuple(call(self, address) for address in self.addresses)

    @cached_property
    def policy(self) -> Policy:
        """The site's policy; PolicyError where it does not hold."""
        from fedvox.client.policy.signature import policy_of

        return policy_of(self.home)

    @cached_property
    def _opened(self) -> Supply | FedvoxError | SiteError | None:
        if self.study is None or not self.spec:
            return None
        from fedvox.client.check.supply import supply

        try:
            return supply(self.home, self.spec, self.study)
        except (FedvoxError, SiteError) as error:
            return error

    @property
    def supply(self) -> Supply | None:
        """What the site has for the study; None where there is none, or it cannot be opened."""
        found = self._opened
        return None if isinstance(found, FedvoxError | SiteError) else found

    @property
    def supply_problem(self) -> FedvoxError | SiteError | None:
        """Why it cannot be opened."""
        found = self._opened
        return found if isinstance(found, FedvoxError | SiteError) else None

    @cached_property
    def trial(self) -> Trial | Failed | None:
        """What came of a step of training; None where there is nothing to take it on."""
        if self.study is None or self.supply is None or not self.supply.patients("train"):
            return None
        from fedvox.client.check.trying import try_out

        return try_out(self.home, self.study, self.supply)
