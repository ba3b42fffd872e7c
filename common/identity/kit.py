"""A kit: the small file with which a site joins. Who has it can join as that site, once."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Self, cast

from fedvox.common.errors import IdentityError, InputError
from fedvox.common.flat_toml import Value, flat_text, parse_flat
from fedvox.common.identity.addresses import Address, parse_address
from fedvox.common.identity.names import is_name
from fedvox.common.identity.secret_files import write_secret

VERSION = 1
MOST_BYTES = 16384

_HEX = re.compile(r"[0-9a-f]{64}")
_SHAPE: Mapping[str, Value] = {
    "version": 0,
    "consortium": "",
    "site": "",
    "addresses": (),
    "authority": "",
    "token": "",
    "expires": "",
    "checksum": "",
}
_HEADING = """The kit of one site of a fedvox consortium. Keep it secret until it was used:
who has it can join as this site, once, until it expires. At the site:
    fedvox site join KIT --home DIR
authority is the fingerprint of the consortium's root; compare it by telephone."""


@dataclass(frozen=True)
class Kit:
    """What an operator sends to a site."""

    consortium: str
    site: str
    addresses: tuple[Address, ...]
    authority: str
    """Fingerprint of the consortium's root."""
    token: str = field(repr=False)
    """256 bit in hexadecimal, good for one enrolment."""
    expires: datetime

    @classmethod
    def read(cls, path: Path) -> Self:
        """The kit in a file, which may have expired; IdentityError where it is damaged."""
        try:
            with path.open("rb") as file:
                raw = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise IdentityError(f"{path}: the kit cannot be read: {error.strerror}") from None
        try:
            return cls.parse(raw.decode(), str(path))
        except UnicodeDecodeError:
            raise IdentityError(_damaged(str(path), "it is no text")) from None

    @classmethod
    def parse(cls, text: str, where: str) -> Self:
        """The kit in a text."""
        try:
            values = parse_flat(text, _SHAPE, where)
            if values["version"] != VERSION:
                raise IdentityError(
                    f"{where}: a kit of another release; join with the release of fedvox that the "
                    "operator of the consortium names"
                )
            if values["checksum"] != _checksum(values):
                raise IdentityError(_damaged(where, "its checksum is wrong"))
            return cls._of(values, where)
        except IdentityError:
            raise
        except InputError as error:
            raise IdentityError(_damaged(where, str(error).removeprefix(f"{where}: "))) from None

    @classmethod
    def _of(cls, values: Mapping[str, Value], where: str) -> Self:
        text = {key: value for key, value in values.items() if isinstance(value, str)}
        addresses = tuple(map(parse_address, cast("tuple[str, ...]", values["addresses"])))
        hexadecimal = _HEX.fullmatch(text["authority"]) and _HEX.fullmatch(text["token"])
        if not (hexadecimal and addresses and all(map(is_name, _names(text)))):
            raise IdentityError(_damaged(where, "a part of it is missing"))
        return cls(
            consortium=text["consortium"],
            site=text["site"],
            addresses=addresses,
            authority=text["authority"],
            token=text["token"],
            expires=_moment(text["expires"], where),
        )

    def text(self) -> str:
        """The file."""
        values: dict[str, Value] = {
            "version": VERSION,
            "consortium": self.consortium,
            "site": self.site,
            "addresses": tuple(map(str, self.addresses)),
            "authority": self.authority,
            "token": self.token,
            "expires": self.expires.isoformat(timespec="seconds"),
        }
        return flat_text({**values, "checksum": _checksum(values)}, _HEADING)

    def write(self, path: Path) -> None:
        """Writes the file, for its owner only."""
        write_secret(path, self.text().encode())

    def require_unexpired(self, now: datetime) -> None:
        """Raises IdentityError where the kit can no longer be used."""
        if now > self.expires:
            raise IdentityError(
                f"the kit for {self.site} expired on {self.expires:%Y-%m-%d %H:%M} UTC; ask the "
                f"operator for another: `fedvox consortium invite {self.site} --again`"
            )


def _names(values: Mapping[str, str]) -> tuple[str, str]:
    return values["site"], values["consortium"]


def _checksum(values: Mapping[str, Value]) -> str:
    """Finds a kit that was cut or mistyped on its way; it keeps nobody from making one."""
    rest = {key: value for key, value in values.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:16]


def _moment(text: str, where: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise IdentityError(_damaged(where, "it does not say when it expires")) from None
    if moment.tzinfo is None:
        raise IdentityError(_damaged(where, "it does not say when it expires"))
    return moment


def _damaged(where: str, why: str) -> str:
    return f"{where}: the kit is damaged: {why}; ask the operator to send it again"
