"""Cases on their way into a dataset: written whole, then recorded, then part of a version.

A case's file is in place and durable before the manifest names it. Cut off anywhere, there is at
worst a file that nothing refers to; the next import that is alone removes it. What the manifest
names is done and is not done again, so an import that is run again goes on where it stopped.
"""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Self

from fedvox.client.dataset import casefile
from fedvox.client.dataset.case import Case
from fedvox.client.dataset.casefile import Content, Packed
from fedvox.client.dataset.lock import alone_if_free, together
from fedvox.client.dataset.manifest import Known, Manifest, SourceOf
from fedvox.client.dataset.places import Place, key_of
from fedvox.client.dataset.versions import Version
from fedvox.client.dataset.withdrawn import withdrawn
from fedvox.common.files import writing


class Intake:
    """One import into a dataset. Use it as a context manager; several may run at once."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._stack = ExitStack()
        self._manifest: Manifest
        self._withdrawn: frozenset[str] = frozenset()

    def __enter__(self) -> Self:
        sweep(self._place)
        with ExitStack() as stack:
            stack.enter_context(together(self._place))
            self._manifest = stack.enter_context(Manifest(self._place.manifest))
            # Read with the lock held: who withdraws a patient writes it down, then waits for us.
            self._withdrawn = withdrawn(self._place.home)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        if error is None:
            sweep(self._place)

    def known(self, mark: str) -> Known | None:
        """What became of a source before."""
        return self._manifest.known(mark)

    def is_withdrawn(self, pseudonym: str) -> bool:
        """Whether the patient may not be used."""
        return pseudonym in self._withdrawn

    def write(self, content: Content) -> Packed:
        """Puts the case's file in place, durably. May be called from any thread."""
        case = casefile.packed(content)
        casefile.write(self._place.case(case.key), case)
        return Packed(case.key, case.image_sha256, case.bytes, ())

    def add(self, case: Case, source: SourceOf, present: frozenset[str]) -> str:
        """Records a case whose file was written; answers the reason where it may not be used."""
        return self._manifest.add(case, source, present)

    def set_aside(self, *items: tuple[SourceOf, str, bytes]) -> None:
        """Records why sources gave no case: reason, and sealed details."""
        self._manifest.set_aside(*items)

    def form_version(self) -> Version | None:
        """What is held now, as the newest version."""
        return self._manifest.form_version()


def sweep(place: Place) -> int:
    """Removes files that nothing refers to, where nobody else is at work; how many went."""
    if not place.manifest.exists():
        return 0
    with alone_if_free(place) as free:
        return _sweep(place) if free else 0


def _sweep(place: Place) -> int:
    with Manifest(place.manifest) as manifest:
        manifest.drop_unreferred()
        kept = manifest.referred()
    strays = [path for path in place.case_files() if key_of(path) not in kept]
    for path in strays:
        with writing(path):
            path.unlink(missing_ok=True)
    return len(strays)
