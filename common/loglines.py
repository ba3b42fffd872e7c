"""A log of one JSON object a line, which is turned over before it fills the disk."""

from __future__ import annotations

import json
import logging
import sys
from collections import deque
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

from fedvox.common.files import writing

_LARGEST_BYTES = 8 << 20
_KEPT = 4
_LAST = 10


class LineLog:
    """Writes what processes say to a file, and to stderr where somebody looks on."""

    def __init__(self, path: Path, show: bool) -> None:
        with writing(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = RotatingFileHandler(path, maxBytes=_LARGEST_BYTES, backupCount=_KEPT)
        self._file.setFormatter(logging.Formatter("%(message)s"))
        self._show = show
        self._last: deque[str] = deque(maxlen=_LAST)

    def __call__(self, process: str, line: str) -> None:
        """Adds a line; one that is a JSON object already keeps its fields."""
        when = datetime.now(UTC).isoformat(timespec="milliseconds")
        text = json.dumps({"time": when, "process": process, **_fields(line)}, ensure_ascii=False)
        self._file.handle(logging.makeLogRecord({"msg": text}))
        self._last.append(f"{process}: {line}")
        if self._show:
            print(f"{process}: {line}", file=sys.stderr, flush=True)

    def explain(self) -> None:
        """Shows the last that was said, on stderr: why a process cannot run."""
        if not self._show:
            print(*self._last, sep="\n", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Ends the log."""
        self._file.close()


def _fields(line: str) -> dict[str, object]:
    if line.startswith("{"):
        try:
            return dict(json.loads(line))
        except ValueError:
            pass
    return {"text": line}
