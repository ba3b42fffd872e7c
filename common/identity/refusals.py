"""Why an authority certifies nobody: codes with fixed sentences, and nothing else is ever sent."""

from __future__ import annotations

from enum import StrEnum

from fedvox.common.errors import IdentityError


class EnrolmentRefusal(StrEnum):
    """Why a request for enrolment or renewal was refused."""

    FAILED = "failed"
    KEY_IN_USE = "key-in-use"
    KEY_RETIRED = "key-retired"
    MALFORMED = "malformed"
    NO_CERTIFICATE = "no-certificate"
    NOT_SIGNED = "not-signed"
    OTHER_KEY = "other-key"
    REPLAYED = "replayed"
    REVOKED = "revoked"
    TOKEN_EXPIRED = "token-expired"
    TOKEN_UNKNOWN = "token-unknown"
    TOKEN_USED = "token-used"
    TOO_LARGE = "too-large"

    @property
    def sentence(self) -> str:
        """The fixed sentence that stands for this code."""
        return _SENTENCES[self]


_SENTENCES = {
    EnrolmentRefusal.FAILED: "the coordinator could not do it; its own log says why",
    EnrolmentRefusal.KEY_IN_USE: "this key is another party's; every site makes its own",
    EnrolmentRefusal.KEY_RETIRED: "this key was revoked; join with --new-key",
    EnrolmentRefusal.MALFORMED: "this is not a request for enrolment, or a damaged one",
    EnrolmentRefusal.NO_CERTIFICATE: "a renewal needs a connection with the site's certificate",
    EnrolmentRefusal.NOT_SIGNED: "the request is not signed by the key and the token it names",
    EnrolmentRefusal.OTHER_KEY: "a renewal is for the key that the site joined with",
    EnrolmentRefusal.REPLAYED: "this very request was answered before; make a new one",
    EnrolmentRefusal.REVOKED: "the site was revoked; ask the operator",
    EnrolmentRefusal.TOKEN_EXPIRED: "the kit has expired; ask the operator for another",
    EnrolmentRefusal.TOKEN_UNKNOWN: (
        "the kit is not known here, or was replaced; ask the operator for another"
    ),
    EnrolmentRefusal.TOKEN_USED: (
        "the kit was used before, by another key; tell the operator, and ask for another"
    ),
    EnrolmentRefusal.TOO_LARGE: "the request is too large",
}


class EnrolmentRefused(IdentityError):
    """An authority certifies nobody: a code from the fixed list."""

    def __init__(self, refusal: EnrolmentRefusal) -> None:
        super().__init__(refusal.sentence)
        self.refusal = refusal
