"""Compressed frames, decoded in a process of their own."""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from fedvox.client.ingest.reading.frames import Frame
from fedvox.client.ingest.reasons import Quarantined, Reason

PATIENCE_S = 60.0
"""A file that takes longer than this and PATIENCE_S_A_FRAME is given up."""
PATIENCE_S_A_FRAME = 2.0
_LARGEST_ANSWER = 4096


class _Child:
    """A decoding process and what it says."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "fedvox.client.ingest.reading.decoder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._buffer = bytearray()

    @property
    def _output(self) -> IO[bytes]:
        return self._process.stdout  # type: ignore[return-value]  # a pipe

    def ask(self, request: dict[str, Any]) -> None:
        """Sends a request; BrokenPipeError if nobody is there."""
        line = json.dumps(request).encode() + b"\n"
        stdin = self._process.stdin
        if stdin is None:
            raise BrokenPipeError
        stdin.write(line)
        stdin.flush()

    def frame(self, deadline: float) -> npt.NDArray[Any]:
        """The next frame of the request; TimeoutError after the deadline."""
        while (end := self._buffer.find(b"\n")) < 0:
            self._more(deadline)
            if len(self._buffer) > _LARGEST_ANSWER and b"\n" not in self._buffer:
                raise EOFError
        said = json.loads(self._buffer[:end])
        del self._buffer[: end + 1]
        if "error" in said:
            raise Quarantined(Reason.PIXEL_DATA_DAMAGED, f"{said['error']}: {said['text']}")
        array: npt.NDArray[Any] = np.empty(said["shape"], np.dtype(said["dtype"]))
        self._fill(array.data.cast("B"), deadline)
        return array

    def _fill(self, target: memoryview, deadline: float) -> None:
        have = min(len(self._buffer), len(target))
        target[:have] = self._buffer[:have]
        del self._buffer[:have]
        while have < len(target):
            self._wait(deadline)
            count = os.readv(self._output.fileno(), [target[have:]])
            if not count:
                raise EOFError
            have += count

    def _more(self, deadline: float) -> None:
        self._wait(deadline)
        data = os.read(self._output.fileno(), _LARGEST_ANSWER)
        if not data:
            raise EOFError
        self._buffer += data

    def _wait(self, deadline: float) -> None:
        if not select.select([self._output], [], [], max(deadline - time.monotonic(), 0))[0]:
            raise TimeoutError

    def end(self) -> None:
        """Ends the process, whatever it does."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._process.wait()


class Decoder:
    """Keeps one decoding process for as long as it behaves. One request at a time."""

    def __init__(self) -> None:
        self._child: _Child | None = None
        self._owner = os.getpid()
        self._one = threading.Lock()
        atexit.register(self.close)

    def close(self) -> None:
        """Ends the process; the next request starts another."""
        child, self._child = self._child, None
        if child is not None and self._owner == os.getpid():
            child.end()

    def frames(self, frames: Sequence[Frame]) -> Generator[npt.NDArray[Any], None, None]:
        """The decoded frames in their order; Quarantined where one cannot be decoded."""
        with self._one:
            for _, group in groupby(frames, key=lambda frame: frame.path):
                yield from self._of_file(list(group))

    def _of_file(self, frames: Sequence[Frame]) -> Iterator[npt.NDArray[Any]]:
        try:
            try:
                yield from self._asked(frames)
            except (EOFError, BrokenPipeError):  # it may have been ended from outside, meanwhile
                yield from self._asked(frames)
        except TimeoutError:
            raise Quarantined(Reason.PIXEL_DATA_DAMAGED, "decoding it took too long") from None
        except (EOFError, BrokenPipeError, ValueError, MemoryError):
            raise Quarantined(Reason.PIXEL_DATA_DAMAGED, "the decoder crashed on it") from None

    def _asked(self, frames: Sequence[Frame]) -> list[npt.NDArray[Any]]:
        order = sorted(range(len(frames)), key=lambda index: frames[index].number)
        deadline = time.monotonic() + PATIENCE_S + PATIENCE_S_A_FRAME * len(frames)
        try:
            child = self._at_hand()
            child.ask(_request([frames[index] for index in order]))
            decoded = {index: child.frame(deadline) for index in order}
        except Quarantined:  # the process said so itself, and waits for the next request
            raise
        except BaseException:  # frames nobody waits for may be on their way
            self.close()
            raise
        return [_checked(decoded[index], frames[index]) for index in range(len(frames))]

    def _at_hand(self) -> _Child:
        if self._owner != os.getpid():  # a fork has its parent's process at hand, not its own
            self._child, self._owner = None, os.getpid()
        if self._child is None:
            self._child = _Child()
        return self._child


def _checked(array: npt.NDArray[Any], frame: Frame) -> npt.NDArray[Any]:
    if array.shape != (frame.common.rows, frame.common.columns):
        detail = f"decoded to {array.shape}, not to what the header says"
        raise Quarantined(Reason.PIXEL_DATA_DAMAGED, detail)
    return array


def _request(frames: Sequence[Frame]) -> dict[str, Any]:
    frame, common = frames[0], frames[0].common
    return {
        "path": str(frame.path),
        "offset": frame.pixels.offset if frame.pixels else 0,
        "syntax": frame.syntax,
        "indices": [frame.number - 1 for frame in frames],
        "options": {
            "rows": common.rows,
            "columns": common.columns,
            "number_of_frames": frame.frames,
            "samples_per_pixel": 1,
            "photometric_interpretation": common.photometric,
            "bits_allocated": common.bits_allocated,
            "bits_stored": common.bits_stored,
            "pixel_representation": int(common.signed),
            "pixel_keyword": "PixelData",
        },
    }
