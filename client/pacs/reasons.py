"""Why something was not taken from a PACS: fixed codes, each with what to do."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a series could not be fetched, or an object was not accepted."""

    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    UNAUTHORISED = "unauthorised"
    UNKNOWN_DESTINATION = "unknown-destination"
    UNSUPPORTED = "unsupported"
    OVERLOADED = "overloaded"
    SLOW = "slow"
    FAILED = "failed"
    NOT_FOUND = "not-found"
    INCOMPLETE = "incomplete"
    NOT_ASKED_FOR = "not-asked-for"
    BROKEN = "broken"
    TOO_LARGE = "too-large"
    NO_SPACE = "no-space"

    @property
    def remedy(self) -> str:
        """What a person at the site can do about it."""
        return _REMEDIES[self]


_REMEDIES = {
    Reason.UNREACHABLE: "the PACS cannot be reached: look at its address, port, TLS and firewall",
    Reason.REFUSED: "the PACS turns this AE title away: have its administrator enter it",
    Reason.UNAUTHORISED: "the PACS does not allow this: look at the token, certificate and rights",
    Reason.UNKNOWN_DESTINATION: (
        "the PACS does not know where to send: have our AE title, address and port entered there, "
        "or use --method get"
    ),
    Reason.UNSUPPORTED: "the PACS does not offer this service, or only in an encoding not read",
    Reason.OVERLOADED: "the PACS is short of resources: try later, or with --per-minute",
    Reason.SLOW: "the PACS took too long: try later, or with a larger --patience-s",
    Reason.FAILED: (
        "the PACS could not do it: its own log says why; does it know our AE title and port?"
    ),
    Reason.NOT_FOUND: "the PACS announced the series and sent nothing of it",
    Reason.INCOMPLETE: "fewer images came than announced: what came was dropped; try again",
    Reason.NOT_ASKED_FOR: "something else came than was asked for",
    Reason.BROKEN: "an object could not be read: have the series repaired in the PACS",
    Reason.TOO_LARGE: "an object is larger than what is accepted",
    Reason.NO_SPACE: "the disk is full here: free space and start again",
}


class Unfetched(Exception):
    """One series, or one object, that was not taken; the work goes on with the rest."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason

    @property
    def may_be_less(self) -> bool:
        """Whether asking for less at a time may help."""
        return self.reason in (Reason.OVERLOADED, Reason.FAILED, Reason.SLOW, Reason.TOO_LARGE)
