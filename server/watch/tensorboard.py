"""TensorBoard events of a run: scalars by round, of every site and of all.

Written with TensorBoard's own record format, without torch and without its writer threads.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event as Record
from tensorboard.compat.proto.event_pb2 import SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from fedvox.common.errors import ResourceError
from fedvox.common.files import writing
from fedvox.server.events import Event, Watch

_FLUSHED_AFTER = frozenset({"closed", "evaluated", "finished"})
_LEFT_OUT = frozenset({"examples"})


@contextmanager
def tensorboard(folder: Path) -> Iterator[Watch]:
    """A watch that appends to the events in `folder`; a resumed run goes on where it was."""
    scalars = _Scalars(folder)
    try:
        yield scalars.watch
    finally:
        with suppress(OSError):  # it was told when it was tried
            scalars.writer.close()


class _Scalars:
    """One file of events; a resume writes another beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            number = 1 + max((_number(path) for path in folder.iterdir()), default=0)
            file = (folder / f"events.out.tfevents.{number:06d}.fedvox").open("xb")
        except OSError as error:
            raise ResourceError(
                f"{folder}: TensorBoard events cannot be written: {error.strerror}; "
                "make room or choose a writable folder"
            ) from None
        self.writer = RecordWriter(file)
        self.lock = threading.Lock()
        with writing(folder):
            self._write(Record(wall_time=time.time(), file_version="brain.Event:2"))
            self.writer.flush()

    def watch(self, event: Event) -> None:
        """Writes what an event measured."""
        with self.lock, writing(self._folder):
            if event.kind == "started":
                self._begin(event)
            for tag, value in _scalars(event):
                summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
                self._write(Record(wall_time=time.time(), step=event.round, summary=summary))
            if event.kind in _FLUSHED_AFTER:
                self.writer.flush()

    def _begin(self, event: Event) -> None:
        """Says from which step on earlier events are void: rounds that are now done again."""
        resumed = event.detail.get("resumed_from")
        step = resumed + 1 if isinstance(resumed, int) else 1
        log = SessionLog(status=SessionLog.START)
        self._write(Record(wall_time=time.time(), step=step, session_log=log))

    def _write(self, record: Record) -> None:
        self.writer.write(record.SerializeToString())


def _scalars(event: Event) -> list[tuple[str, float]]:
    """Tags and values: train/loss of all sites, train/loss/NAME of one."""
    if event.kind == "trained":
        group = "train"
    elif event.kind == "closed":
        group = "round"
    elif event.kind == "evaluated":
        group = str(event.detail.get("split", "validation"))
    else:
        return []
    site = f"/{event.site}" if event.site else ""
    return [
        (f"{'train' if group == 'round' and name == 'loss' else group}/{name}{site}", float(value))
        for name, value in event.figures.items()
        if math.isfinite(value) and name not in _LEFT_OUT
    ]


def _number(path: Path) -> int:
    found = re.fullmatch(r"events\.out\.tfevents\.(\d+)\.fedvox", path.name)
    return int(found.group(1)) if found else 0
