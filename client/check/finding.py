"""What a check is, and what it finds: a level, what was seen, what to do, what may be mailed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from fedvox.common.errors import FedvoxError, SiteError
from fedvox.common.privacy.bucket import bucketed

if TYPE_CHECKING:
    from fedvox.client.check.visit import Visit

log = logging.getLogger(__name__)

FEW = 5
"""Counts below this are never said outside."""


class Level(StrEnum):
    """How a thing stands: fit, usable with a drawback, unfit."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    level: Level
    text: str
    """For people at the site."""
    remedy: str = ""
    shared: str = ""
    """For a report that leaves: no path, name, identifier or exact count. Empty: the level only."""


def green(text: str, shared: str = "") -> Finding:
    """All is as it should be."""
    return Finding(Level.GREEN, text, "", shared)


def yellow(text: str, remedy: str, shared: str = "") -> Finding:
    """It will do, but somebody should know."""
    return Finding(Level.YELLOW, text, remedy, shared)


def red(text: str, remedy: str, shared: str = "") -> Finding:
    """It will not do."""
    return Finding(Level.RED, text, remedy, shared)


Look = Callable[["Visit"], Finding | None]
"""None: there is nothing of the kind to be looked at here."""


@dataclass(frozen=True)
class Check:
    """One thing that is looked at."""

    name: str
    """What of, as in network.tls."""
    look: Look


@dataclass(frozen=True)
class Line:
    """A check's name with what it found."""

    name: str
    finding: Finding


def look_at(visit: Visit, checks: Iterable[Check]) -> list[Line]:
    """Every check that has something to look at; one that fails is red, and the rest go on."""
    lines = []
    for check in checks:
        found = _found(check, visit)
        if found is not None:
            lines.append(Line(check.name, found))
    return lines


def _found(check: Check, visit: Visit) -> Finding | None:
    try:
        return check.look(visit)
    except FedvoxError as error:
        return red(str(error), "do as it says, then check again", "could not be looked at")
    except SiteError as error:
        return red(error.detail or str(error), "do as it says, then check again", str(error))
    except Exception as error:
        # What cannot be looked at is not known to be fit.
        log.debug("%s failed", check.name, exc_info=True)
        return red(
            f"could not be looked at ({type(error).__name__}: {error})",
            "report this to the operator, with this line",
            "could not be looked at",
        )


def worst(lines: Iterable[Line]) -> Level:
    """The level of the whole."""
    order = list(Level)
    return max((line.finding.level for line in lines), key=order.index, default=Level.GREEN)


def about(count: int) -> str:
    """A count as it may be said outside."""
    return f"fewer than {FEW}" if count < FEW else f"about {bucketed(count)}"
