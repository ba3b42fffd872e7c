"""What was answered, so that who asks again gets the same bytes.

HOME/outbox/STUDY/ROUND-KEY.answer: the length of a head as JSON, the head, the bytes of the groups.
Where patients are protected, the ledger's outbox beside it makes the release safe from a kill; this
one answers as well when the data set has gone on to another version, with another ledger, since.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

from fedvox.client.contract.heads import ReplyHead
from fedvox.common.files import write_bytes_atomic, writing
from fedvox.common.messages import Kind

log = logging.getLogger(__name__)

KEPT_ROUNDS = 2
_SUFFIX = ".answer"


@dataclass(frozen=True)
class Asked:
    """Which piece of work; the same again is the same work."""

    study_sha256: str
    round: int
    weights_sha256: str
    kind: Kind
    split: str = ""


@dataclass(frozen=True)
class Answer:
    """A reply as it goes over the socket."""

    head: ReplyHead
    groups: Mapping[str, bytes]

    @property
    def size(self) -> int:
        """Bytes of its tensors."""
        return sum(map(len, self.groups.values()))


class Answers:
    """The answers kept under a folder. For any number of threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, asked: Asked) -> Answer | None:
        """What was answered; None where nothing was, or where it is damaged: it is made again."""
        path = self._path(asked)
        try:
            return _unpacked(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("a kept answer of round %d is damaged: %s", asked.round, error)
            return None

    def put(self, asked: Asked, answer: Answer) -> None:
        """Keeps an answer, durably, and drops those of rounds long gone."""
        path = self._path(asked)
        with writing(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_bytes_atomic(path, *_packed(answer))
        newest = self.newest_round(asked.study_sha256)
        for old in self._kept(asked.study_sha256):
            if _round(old) <= newest - KEPT_ROUNDS:
                with suppress(OSError):
                    old.unlink()

    def newest_round(self, study_sha256: str) -> int:
        """The newest round that was answered; 0: none."""
        return max(map(_round, self._kept(study_sha256)), default=0)

    def is_over(self, asked: Asked) -> bool:
        """Whether the round is one whose answers are no longer kept."""
        return asked.round <= self.newest_round(asked.study_sha256) - KEPT_ROUNDS

    def _kept(self, study_sha256: str) -> list[Path]:
        return list((self._folder / study_sha256[:16]).glob(f"*{_SUFFIX}"))

    def _path(self, asked: Asked) -> Path:
        key = hashlib.sha256(json.dumps(astuple(asked)).encode()).hexdigest()
        name = f"{asked.round:06d}-{key[:32]}{_SUFFIX}"
        return self._folder / asked.study_sha256[:16] / name


def _packed(answer: Answer) -> list[bytes]:
    digest = hashlib.sha256()
    for data in answer.groups.values():
        digest.update(data)
    head = {
        "reply": asdict(answer.head),
        "groups": [[name, len(data)] for name, data in answer.groups.items()],
        "sha256": digest.hexdigest(),
    }
    text = json.dumps(head).encode()
    return [len(text).to_bytes(8, "little"), text, *answer.groups.values()]


def _unpacked(data: bytes) -> Answer:
    length = int.from_bytes(data[:8], "little")
    head = json.loads(data[8 : 8 + length])
    body = memoryview(data)[8 + length :]
    if hashlib.sha256(body).hexdigest() != head["sha256"]:
        raise ValueError("not the bytes that were kept")
    groups, end = {}, 0
    for name, size in head["groups"]:
        groups[str(name)] = bytes(body[end : end + size])
        end += size
    return Answer(ReplyHead(**head["reply"]), groups)


def _round(path: Path) -> int:
    return int(path.name.partition("-")[0])
