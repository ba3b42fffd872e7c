"""DIR/coordinator.toml: what the consortium is called, and where its coordinator is reached."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self, cast

from fedvox.common.errors import InputError
from fedvox.common.files import write_text_atomic
from fedvox.common.flat_toml import flat_text, read_flat
from fedvox.common.identity.addresses import Address, parse_address
from fedvox.common.identity.names import checked_name

FILE = "coordinator.toml"
DEFAULT_PORT = 8443
DEFAULT_NAME = "consortium"
SITE_CERTIFICATE_DAYS = 14

_LOCAL = ("localhost", "127.0.0.1")
"""Names that the coordinator's certificate always has, for what is tried on its own machine."""

_HEADING = """Made by `fedvox consortium init`. May be edited while the coordinator is stopped.
addresses              host:port at which the sites reach it; they are written into new kits
host, port             where it listens
site_certificate_days  how long a site's certificate is good for; renewed at half of that"""


@dataclass(frozen=True)
class CoordinatorSettings:
    """What a coordinator knows about itself."""

    name: str
    addresses: tuple[str, ...]
    host: str
    port: int
    site_certificate_days: int = SITE_CERTIFICATE_DAYS

    @classmethod
    def load(cls, home: Path) -> Self:
        """The settings under `home`; InputError where no consortium was made there."""
        path = home / FILE
        if not path.exists():
            raise InputError(f"{path}: no consortium here; `fedvox consortium init DIR` makes one")
        found = read_flat(path, asdict(cls("", (), "", 0)), "a coordinator's settings")
        settings = cls(
            name=cast(str, found["name"]),
            addresses=cast("tuple[str, ...]", found["addresses"]),
            host=cast(str, found["host"]),
            port=cast(int, found["port"]),
            site_certificate_days=cast(int, found["site_certificate_days"]),
        )
        settings._check(path)
        return settings

    def _check(self, path: Path) -> None:
        checked_name(self.name, f"consortium ({path})")
        for address in self.addresses:
            parse_address(address)
        if not self.addresses or not self.host or not 0 < self.port < 65536:
            raise InputError(f"{path}: addresses, host or port is missing or out of range")
        if not 1 <= self.site_certificate_days <= 365:
            raise InputError(f"{path}: site_certificate_days must be from 1 to 365")

    def save(self, home: Path) -> None:
        """Writes the file anew."""
        write_text_atomic(home / FILE, flat_text(asdict(self), _HEADING))

    @property
    def certificate_hosts(self) -> tuple[str, ...]:
        """The names that the coordinator's certificate is good for."""
        hosts = [parse_address(address).host for address in self.addresses]
        return tuple(dict.fromkeys([*hosts, *_LOCAL]))


def settings_for(name: str, addresses: tuple[Address, ...]) -> CoordinatorSettings:
    """Settings for a new consortium; without an address it is for this machine only."""
    chosen = addresses or (Address("localhost", DEFAULT_PORT),)
    outward = not all(address.is_loopback for address in chosen)
    return CoordinatorSettings(
        name=checked_name(name, "consortium"),
        addresses=tuple(map(str, chosen)),
        host="0.0.0.0" if outward else "127.0.0.1",
        port=chosen[0].port,
    )
