"""What parties are called, what they are, and what operators may do."""

from __future__ import annotations

import re
from enum import StrEnum

from fedvox.common.errors import IdentityError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class Role(StrEnum):
    """What a party of a consortium is."""

    COORDINATOR = "coordinator"
    SITE = "site"
    OPERATOR = "operator"


class Rank(StrEnum):
    """What an operator may do: look; propose and steer studies; and also admit and revoke."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, needed: Rank) -> bool:
        """Whether who has this rank may do what the other is needed for."""
        order = list(Rank)
        return order.index(self) >= order.index(needed)


def is_name(name: str) -> bool:
    """Whether a party may be called so."""
    return _NAME.fullmatch(name) is not None


def checked_name(name: str, what: str) -> str:
    """The same name; IdentityError unless a party may be called so."""
    if not is_name(name):
        raise IdentityError(
            f"{name!r} cannot be the name of a {what}: use 1 to 63 small letters, digits and "
            "hyphens, beginning with a letter or digit, as in st-anna"
        )
    return name
