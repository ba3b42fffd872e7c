"""The lines of a run's rounds, beside its checkpoints.

rounds.jsonl holds one JSON object a line for every closed round. A line is on the disk before the
round's checkpoint is, so that no checkpoint lacks its line; on resume the lines beyond the
checkpoint are cut off.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedvox.common.files import plain, sync_folder, write_bytes_atomic, writing


@dataclass(frozen=True)
class RoundLog:
    """rounds.jsonl."""

    path: Path

    def append(self, line: Mapping[str, Any]) -> None:
        """One closed round, on the disk when this returns."""
        text = json.dumps(plain(line), ensure_ascii=False, separators=(",", ":"))
        with writing(self.path):
            size = self.path.stat().st_size if self.path.exists() else None
            try:
                _append_through(self.path, f"{text}\n".encode())
            except BaseException:
                if size is not None:
                    os.truncate(self.path, size)
                raise
            if size is None:
                sync_folder(self.path.parent)

    def read(self) -> list[dict[str, Any]]:
        """The lines that are whole, in order; none where there is no file."""
        if not self.path.exists():
            return []
        lines = (_parse(line) for line in self.path.read_bytes().splitlines(keepends=True))
        return [line for line in lines if line is not None]

    def cut_after(self, round: int) -> int:
        """Drops the lines after `round`, and torn ones; how many lines were dropped."""
        if not self.path.exists():
            return 0
        raw = self.path.read_bytes().splitlines(keepends=True)
        kept = [line for line in raw if (parsed := _parse(line)) and parsed["round"] <= round]
        if len(kept) < len(raw):
            write_bytes_atomic(self.path, *kept)
        return len(raw) - len(kept)


def _append_through(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _parse(line: bytes) -> dict[str, Any] | None:
    """The object in a line; None for a torn one."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    whole = line.endswith(b"\n") and isinstance(value, dict) and "round" in value
    return value if whole else None
