"""One JSON object a line, for machines; the last one is the summary."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from fedvox.server.events import Event, Watch


def lines(stream: TextIO) -> Watch:
    """A watch that writes every event to `stream` as it happens."""
    lock = threading.Lock()

    def watch(event: Event) -> None:
        text = json.dumps(as_plain(event), ensure_ascii=False, allow_nan=False)
        with lock:
            stream.write(text + "\n")
            stream.flush()

    return watch


def as_plain(event: Event) -> dict[str, Any]:
    """An event as JSON can hold it; the keys of the summary stand at the top of "finished"."""
    if event.kind == "finished":
        return {"event": "finished", **_clean(event.detail)}
    plain: dict[str, Any] = {"event": event.kind}
    if event.round:
        plain["round"] = event.round
    if event.site:
        plain["site"] = event.site
    if event.figures:
        plain["figures"] = _clean(event.figures)
    if event.detail:
        plain["detail"] = _clean(event.detail)
    return plain


def _clean(value: Any) -> Any:
    """NaN and infinity have no JSON: they become null."""
    if isinstance(value, Mapping):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else _scalar(value)


def _scalar(value: Any) -> Any:
    """numpy's numbers become Python's; anything else its text."""
    if isinstance(value, Path) or not hasattr(value, "item"):
        return str(value)
    return _clean(value.item())
