"""HOME/site.toml: which consortium the site belongs to, how it is reached, where the cases are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self, cast

from fedvox.common.errors import InputError
from fedvox.common.flat_toml import flat_text, read_flat
from fedvox.common.identity.secret_files import write_secret

FILE = "site.toml"

_HEADING = """What `fedvox site join` found out and was told. Edit it while the site is stopped.
addresses   host:port of the coordinator, tried in this order
proxy       http://host:port or https://host:port to dial out through; empty for none
proxy_ca    PEM file with the authority of an https proxy; empty for the system's
data        where the cases come from: dataset:NAME or phantom:INDEX"""


@dataclass(frozen=True)
class SiteSettings:
    """What a joined site knows about itself."""

    site: str
    consortium: str
    addresses: tuple[str, ...]
    proxy: str = ""
    proxy_ca: str = ""
    data: str = ""

    @classmethod
    def load(cls, home: Path) -> Self:
        """The settings under `home`; InputError where the site has not joined yet."""
        path = home / FILE
        if not path.exists():
            raise InputError(
                f"{path}: not found: this site has not joined a consortium; run `fedvox site join "
                "KIT` with the kit that its operator sent"
            )
        shape = asdict(cls("", "", ()))
        found = read_flat(path, shape, "a site's settings")
        for key in ("site", "consortium", "addresses"):
            if not found[key]:
                raise InputError(f"{path}: {key} is missing; `fedvox site join KIT` writes it")
        return cls(
            site=cast(str, found["site"]),
            consortium=cast(str, found["consortium"]),
            addresses=cast("tuple[str, ...]", found["addresses"]),
            proxy=cast(str, found["proxy"]),
            proxy_ca=cast(str, found["proxy_ca"]),
            data=cast(str, found["data"]),
        )

    def save(self, home: Path) -> None:
        """Writes the file anew, for its owner only: the address of a proxy may hold a password."""
        write_secret(home / FILE, flat_text(asdict(self), _HEADING).encode())
