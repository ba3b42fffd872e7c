"""A line between a site and its coordinator that can be slow, narrow, stuck, cut or down."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_CHUNK = 1 << 14
_IN_FLIGHT = 1024
"""Chunks on their way at once."""


class Line:
    """Forwards 127.0.0.1:port to a target. Its qualities may be changed at any time."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        self.delay_s = 0.0
        """Each way."""
        self.bytes_per_s = 0.0
        """0: as fast as it goes."""
        self.stuck = False
        """Open connections stay open, and nothing passes."""
        self.down = False
        """New connections are refused."""
        self.bytes_up = 0
        self.bytes_down = 0
        self._ends: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)

    def __enter__(self) -> Line:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the line did not open")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def cut(self) -> None:
        """Resets every open connection."""
        self._loop.call_soon_threadsafe(self._abort)

    @contextmanager
    def out(self) -> Iterator[None]:
        """Down, and everything that was open is cut, for as long as the block lasts."""
        self.down = True
        self.cut()
        try:
            yield
        finally:
            self.down = False

    def _abort(self) -> None:
        for end in list(self._ends):
            end.transport.abort()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._joined, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        self._abort()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.down:
            writer.transport.abort()
            return
        try:
            onward = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, onward[1]}
        self._ends |= ends
        try:
            with suppress(asyncio.CancelledError):
                await asyncio.gather(
                    self._pass(reader, onward[1], up=True), self._pass(onward[0], writer, up=False)
                )
        finally:
            self._ends -= ends
            for end in ends:
                end.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up: bool
    ) -> None:
        flying: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_IN_FLIGHT)
        landing = asyncio.create_task(self._land(flying, writer, up))
        try:
            with suppress(ConnectionError):
                while data := await reader.read(_CHUNK):
                    if self.bytes_per_s:
                        await asyncio.sleep(len(data) / self.bytes_per_s)
                    await flying.put((self._loop.time() + self.delay_s, data))
            await flying.put((0.0, b""))
            await landing
        finally:
            landing.cancel()

    async def _land(
        self, flying: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, up: bool
    ) -> None:
        with suppress(ConnectionError, RuntimeError):
            while True:
                due, data = await flying.get()
                if not data:
                    break
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                while self.stuck:
                    await asyncio.sleep(0.05)
                if up:
                    self.bytes_up += len(data)
                else:
                    self.bytes_down += len(data)
                writer.write(data)
                await writer.drain()
        with suppress(OSError, RuntimeError):
            writer.write_eof()
