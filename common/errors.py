"""Every error fedvox raises on purpose, and the exit status each one stands for.

    FedvoxError                 exit 1   the work failed
    ├── InputError              exit 2   what the user gave cannot be used
    │   ├── StudyError                   the study file: key, what was wrong, nearest valid name
    │   ├── DataError                    a data source, a partition, a label outside the map
    │   └── IdentityError                a key, certificate, kit or name that proves nothing
    ├── NotFiniteError          exit 1   NaN or infinity in weights, losses or updates
    ├── QuorumError             exit 1   fewer sites answered than the study demands
    ├── CheckpointError         exit 1   a checkpoint is damaged or belongs to another study
    ├── RunInUseError           exit 2   another process works in this run directory
    ├── ResourceError           exit 1   no disk, no memory, a folder that cannot be written
    └── UnreachableError        exit 1   nobody answers there, or nobody who can prove himself
    SiteError                            what a site may say outside: a code, a fixed sentence

A message of FedvoxError is for the person at this machine and may name paths. What crosses from a
site to the coordinator is only ever a SiteError, whose sentences are the fixed list below.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from enum import StrEnum


class FedvoxError(Exception):
    """Something fedvox could not do; the message says what, where, and what to do."""

    exit_status = 1


class InputError(FedvoxError):
    """What the user gave cannot be used."""

    exit_status = 2


class StudyError(InputError):
    """The study file or a --set is wrong."""


class DataError(InputError):
    """A data source, partition or label cannot be used."""


class IdentityError(InputError):
    """A key, certificate, kit or name that does not prove who somebody is."""


class NotFiniteError(FedvoxError):
    """NaN or infinity where a number was needed."""


class QuorumError(FedvoxError):
    """A round could not be closed on as many sites as the study demands."""


class CheckpointError(FedvoxError):
    """A checkpoint is damaged, or was made by another study or data contract."""


class RunInUseError(InputError):
    """Another process is working in this run directory."""


class ResourceError(FedvoxError):
    """The machine lacks what the study needs: memory, disk, a writable folder."""


class UnreachableError(FedvoxError):
    """Nobody answers at the addresses that were tried."""


class Refusal(StrEnum):
    """Why a site sent no update: the only reasons that may leave it, each with its sentence."""

    BUDGET = "budget"
    BUSY = "busy"
    CONTRACT = "contract"
    EMPTY = "empty"
    HOURS = "hours"
    INTERNAL = "internal"
    LABELS = "labels"
    NOT_FINITE = "not-finite"
    OLD = "old"
    PAUSED = "paused"
    POLICY = "policy"
    PRIVACY = "privacy"
    RESOURCES = "resources"
    STOPPED = "stopped"
    STUDY = "study"
    UNSAFE = "unsafe"
    VERSION = "version"
    WAITING = "waiting"
    WEIGHTS = "weights"

    @property
    def sentence(self) -> str:
        """The fixed sentence that stands for this code."""
        return _SENTENCES[self]


_SENTENCES = {
    Refusal.BUDGET: "the site's privacy budget for this data is spent",
    Refusal.BUSY: "the site is at work on another request",
    Refusal.CONTRACT: "the site's data was prepared under another data contract",
    Refusal.EMPTY: "the site has no data for this request",
    Refusal.HOURS: "the site works at other hours",
    Refusal.INTERNAL: "the site could not do the work; its own log says why",
    Refusal.LABELS: "the site's labels do not fit the study's label map",
    Refusal.NOT_FINITE: "training produced numbers that are not finite",
    Refusal.OLD: "the round is over at the site, and its answer is no longer kept",
    Refusal.PAUSED: "a person at the site has paused the study",
    Refusal.POLICY: "the site's policy does not allow this study",
    Refusal.PRIVACY: "the request asks for less privacy than the site demands",
    Refusal.RESOURCES: "the site lacks the memory or disk for this request",
    Refusal.STOPPED: "a person at the site has declined or stopped the study",
    Refusal.STUDY: "the study in the request is not one this site can run",
    Refusal.UNSAFE: "the update failed the site's privacy check and was not released",
    Refusal.VERSION: "the site runs another release of fedvox than the coordinator",
    Refusal.WAITING: "the study waits for a person at the site",
    Refusal.WEIGHTS: "the weights in the request are damaged or do not fit the model",
}


class SiteError(Exception):
    """A site's refusal: a code from the fixed list; the detail stays on site."""

    def __init__(self, refusal: Refusal, detail: str = "") -> None:
        super().__init__(refusal.sentence)
        self.refusal = refusal
        self.detail = detail
        """For the site's own log only; never sent."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """A hint naming the valid name closest to `name`, or all of them where none is close."""
    known = sorted(valid)
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"valid: {', '.join(known)}"
