"""What a site must remember from one round to the next, on disk, by round.

A round asked for again starts from the state before that round, so the same request gives the same
answer; therefore the state before the newest round is kept as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from fedvox.common.arrays import Arrays, flattened, grouped
from fedvox.common.codec import CodecError, decode, encoded_parts
from fedvox.common.errors import Refusal, SiteError
from fedvox.common.files import write_bytes_atomic, writing

_KEPT = 2

Groups = Mapping[str, Arrays]
"""What one site remembers, by what it is."""

Perform = Callable[[Callable[[], None]], None]
"""Has work done: at once, or before anybody is answered."""


def at_once(work: Callable[[], None]) -> None:
    """Does the work."""
    work()


class SiteState:
    """Groups of tensors of one site for one study, under `folder`."""

    def __init__(
        self,
        folder: Path,
        study_sha256: str,
        perform: Perform = at_once,
    ) -> None:
        self._folder = folder
        self._study = study_sha256
        self._perform = perform

    def before(self, round_number: int) -> Groups:
        """The groups as they were before a round; empty when there were none."""
        path = self._newest_before(round_number)
        if path is None:
            return {}
        try:
            arrays = decode(path.read_bytes())
        except (OSError, CodecError) as error:
            raise SiteError(Refusal.INTERNAL, f"{path}: damaged: {error}") from None
        return dict(grouped(arrays))

    def keep(self, round_number: int, groups: Mapping[str, Arrays], now: bool = False) -> None:
        """Makes the groups the state after a round; durable `now`, or when `perform` has done it.

        What there is of later rounds goes: it is from before the run went back.
        """
        flat = flattened(groups)
        if flat:
            perform = at_once if now else self._perform
            perform(lambda: self._write(round_number, flat))

    def _write(self, round_number: int, flat: Arrays) -> None:
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        write_bytes_atomic(self._path(round_number), *encoded_parts(flat))
        newest = self._path(round_number).name
        kept = [path for path in self._files() if path.name <= newest][-_KEPT:]
        for old in set(self._files()) - set(kept):
            old.unlink(missing_ok=True)

    def _path(self, round_number: int) -> Path:
        return self._folder / f"{self._study[:12]}-{round_number:05d}.state"

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(f"{self._study[:12]}-*.state"))

    def _newest_before(self, round_number: int) -> Path | None:
        limit = self._path(round_number).name
        older = [path for path in self._files() if path.name < limit]
        return older[-1] if older else None
