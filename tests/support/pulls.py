"""A pull in this process: from a PACS into a spool, with an ingest that only counts."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from pacs_peers import ROOMY

from fedvox.client.pacs.allow import LOOPBACK
from fedvox.client.pacs.archive import Archive, Into
from fedvox.client.pacs.dimse import DimseArchive
from fedvox.client.pacs.ingesting import Ingested
from fedvox.client.pacs.listen import Emptying
from fedvox.client.pacs.part import Limits
from fedvox.client.pacs.peer import Asking, Peer
from fedvox.client.pacs.pull import Pace, Pull, Pulled
from fedvox.client.pacs.query import Wanted, Window
from fedvox.client.pacs.receiver import Listening, Receiver
from fedvox.client.pacs.record import Record
from fedvox.client.pacs.refused import RefusedLog
from fedvox.client.pacs.spool import Spool

EVERY_CT = Wanted(("CT",), Window())
YEAR_2024 = Window(date(2024, 1, 1), date(2024, 12, 31))
Make = Callable[[Into], Archive]


@dataclass
class Site:
    """A site that pulls, again and again, into one home."""

    home: Path
    limits: Limits = ROOMY
    move_port: int = 0
    """Where C-MOVE sends; 0: nowhere."""
    said: list[str] = field(default_factory=list)
    ingested: list[Path] = field(default_factory=list)
    """Files that the ingest was given, named as they lay there."""
    contents: list[bytes] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def ingest(self, folders: Sequence[Path]) -> Ingested:
        found = [path for folder in folders for path in folder.rglob("*.dcm")]
        self.ingested += found
        self.contents += [path.read_bytes() for path in found]
        return Ingested(ingested=len(folders))

    def pull(
        self, make: Make, wanted: Wanted | None = EVERY_CT, pace: Pace | None = None
    ) -> Pulled:
        with self._pull(make, pace or Pace()) as pull:
            return pull.run(wanted)

    @contextmanager
    def _pull(self, make: Make, pace: Pace) -> Iterator[Pull]:
        with ExitStack() as stack:
            spool = stack.enter_context(Spool(self.home, "d", "pull", self.limits))
            into = Into(spool)
            archive = stack.enter_context(closing(make(into)))
            if self.move_port:
                own = Listening("FEDVOX", self.move_port, LOOPBACK, "127.0.0.1")
                refused = stack.enter_context(closing(RefusedLog(self.home)))
                stack.enter_context(Receiver(own, into.begin, into.store, refused))
            record = stack.enter_context(closing(Record(self.home, "d")))
            emptying = Emptying(spool, self.ingest, self.said.append)
            yield Pull(archive, into, spool, record, emptying, pace, self.said.append, self.stop)

    def states(self) -> dict[str, int]:
        with closing(Record(self.home, "d")) as record:
            return dict(record.states())

    def reasons(self) -> dict[str, int]:
        with closing(Record(self.home, "d")) as record:
            return dict(record.reasons())


def dimse(peer: str, method: str = "get", patience_s: float = 10.0, title: str = "FEDVOX") -> Make:
    """Asks by DIMSE."""
    asking = Asking(Peer.of(peer), title, method, patience_s)
    return lambda into: DimseArchive(asking, into)
