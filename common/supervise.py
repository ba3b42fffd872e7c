"""Keeps child processes running: starts, restarts and stops them in order, and writes their lines.

A child that ends is started again, after a pause that doubles as long as it keeps ending soon. A
child that says its input cannot be used (exit status 2) would say so again: then all are stopped.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType

from fedvox.common.supervised import PARENT, READY

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 30.0
_STEADY_S = 60.0
"""After so long a child counts as running well: its next pause is the first one again."""
_LONGEST_LINE = 1 << 16
_TICK_S = 0.5
_BAD_INPUT = 2

Log = Callable[[str, str], None]
"""(name of the process, line): a line that a process wrote, or what became of it."""


@dataclass(frozen=True)
class Child:
    """A process to keep running."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_s: float = 10.0
    """How long it may take to end after SIGTERM; then it is killed."""


class Supervisor:
    """Runs children until SIGTERM or SIGINT, or until `stop` is called."""

    def __init__(self, children: Sequence[Child], log: Log, ready: Callable[[], None]) -> None:
        """`ready` is called once, when every child has said that it is ready."""
        self._running = [_Running(child, log) for child in children]
        self._ready = ready
        self._selector = selectors.DefaultSelector()
        self._stopping = threading.Event()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def run(self) -> int:
        """The exit status: 0 after a stop, 2 where a child cannot use what it was given."""
        previous = _on_stop_signals(self.stop)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        try:
            return self._watch()
        finally:
            for running in reversed(self._running):
                running.stop(self._selector)
            for number, handler in previous.items():
                signal.signal(number, handler)
            self._selector.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._wake_write = -1

    def stop(self) -> None:
        """Ends `run`; from any thread."""
        self._stopping.set()
        with suppress(OSError):
            os.write(self._wake_write, b".")

    def _watch(self) -> int:
        told = False
        while not self._stopping.is_set():
            for running in self._running:
                if running.start_if_due(self._selector) == _BAD_INPUT:
                    return _BAD_INPUT
            for key, _ in self._selector.select(_TICK_S):
                if key.fd != self._wake_read:
                    key.data()
            if not told and all(running.is_ready for running in self._running):
                told = True
                self._ready()
        return 0


class _Running:
    """One child over its lives."""

    def __init__(self, child: Child, log: Log) -> None:
        self._child = child
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._pipes: dict[int, bytes] = {}
        self._ready_pipe = -1
        self._begun = 0.0
        self._due = 0.0
        self._pause_s = FIRST_PAUSE_S
        self.is_ready = False

    def start_if_due(self, selector: selectors.BaseSelector) -> int | None:
        """Starts the child where it does not run; the exit status of one that has just ended."""
        status = None
        if self._process is not None and (status := self._process.poll()) is not None:
            self._ended(status, selector)
        if self._process is None and time.monotonic() >= self._due and status != _BAD_INPUT:
            self._start(selector)
        return status

    def stop(self, selector: selectors.BaseSelector) -> None:
        """TERM, patience, KILL; what it wrote meanwhile is still logged."""
        if self._process is None:
            return
        self._process.terminate()
        end = time.monotonic() + self._child.stop_s
        while self._process.poll() is None and time.monotonic() < end:
            for key, _ in selector.select(0.05):
                if callable(key.data):
                    key.data()
        if self._process.poll() is None:
            self._log(self._child.name, f"did not end within {self._child.stop_s:g} s: killed")
            self._process.kill()
            self._process.wait()
        self._ended(self._process.returncode, selector)

    def _start(self, selector: selectors.BaseSelector) -> None:
        ready_read, ready_write = os.pipe2(os.O_CLOEXEC)
        told = {PARENT: str(os.getpid()), READY: str(ready_write)}
        self._process = subprocess.Popen(
            self._child.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self._child.environment, **told},
            pass_fds=[ready_write],
            start_new_session=True,  # Ctrl-C is for the supervisor, which stops them in order
        )
        os.close(ready_write)
        self.is_ready = False
        self._begun = time.monotonic()
        self._ready_pipe = ready_read
        output = self._process.stdout
        for pipe in (ready_read, *([output.fileno()] if output else [])):
            os.set_blocking(pipe, False)
            self._pipes[pipe] = b""
            selector.register(pipe, selectors.EVENT_READ, lambda p=pipe: self._read(p, selector))
        self._log(self._child.name, f"started as process {self._process.pid}")

    def _read(self, pipe: int, selector: selectors.BaseSelector) -> bool:
        """Takes what a pipe holds; False where that is nothing now."""
        try:
            found = os.read(pipe, _LONGEST_LINE)
        except BlockingIOError:
            return False
        if not found:
            selector.unregister(pipe)
        if pipe == self._ready_pipe:
            self.is_ready = self.is_ready or bool(found)
            return bool(found)
        *lines, rest = (self._pipes[pipe] + found).split(b"\n")
        if len(rest) > _LONGEST_LINE or not found:
            lines, rest = [*lines, rest], b""
        self._pipes[pipe] = rest
        for line in filter(None, lines):
            self._log(self._child.name, line.decode(errors="replace"))
        return bool(found)

    def _ended(self, status: int, selector: selectors.BaseSelector) -> None:
        for pipe in self._pipes:
            while pipe in selector.get_map() and self._read(pipe, selector):
                pass
            if pipe in selector.get_map():  # held open by a process that it left behind
                selector.unregister(pipe)
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()
        os.close(self._ready_pipe)
        self._pipes, self._process = {}, None
        steady = time.monotonic() - self._begun >= _STEADY_S
        self._pause_s = FIRST_PAUSE_S if steady else self._pause_s
        self._due = time.monotonic() + self._pause_s
        how = f"status {status}" if status >= 0 else signal.Signals(-status).name
        self._log(self._child.name, f"ended with {how}")
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


def _on_stop_signals(stop: Callable[[], None]) -> dict[int, signal._HANDLER]:
    """Has the signals that end a service call `stop`; the handlers that were there."""
    if threading.current_thread() is not threading.main_thread():
        return {}

    def handle(number: int, frame: FrameType | None) -> None:
        stop()

    return {n: signal.signal(n, handle) for n in (signal.SIGTERM, signal.SIGINT)}
