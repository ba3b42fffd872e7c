"""Flower's Grid within one process: worker threads run the ClientApp, nothing is serialised."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

from flwr.app import Context, Message, RecordDict, UserConfig
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from fedvox.simulations.stopping import interrupt

_RUN_ID = 1
_AHEAD = 2
"""Answers that may wait for each worker before it goes on: memory does not grow with sites."""
_WAIT_S = 0.25


class InProcessGrid(Grid):
    """Node i is the site with partition-id i. Use it as a context manager: it owns threads."""

    def __init__(
        self,
        app: ClientApp,
        sites: int,
        workers: int,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        """`settle` returns when everything that the answers so far rest on is on the disk."""
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, _RUN_ID, 1
        self._app = app
        self._sites = sites
        self._settle = settle
        self._asked: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._answers: dict[str, Message] = {}
        self._arrived = threading.Condition()
        self._room = threading.Semaphore(workers * _AHEAD)
        self._count = 0
        self._workers = [
            threading.Thread(target=self._work, name=f"site-worker-{n}", daemon=True)
            for n in range(workers)
        ]

    def __enter__(self) -> Self:
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while not self._asked.empty():  # what nobody has begun is dropped
            self._asked.get()
        for _ in self._workers:
            self._asked.put(None)
            self._room.release()
        if error is not None:
            interrupt(self._workers)
        for worker in self._workers:
            worker.join()

    def set_run(self, run: Run) -> None:
        """There is one run only."""

    @property
    def run(self) -> Run:
        """An empty description of the run."""
        return Run.create_empty(_RUN_ID)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """A message for a node."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """One node for each site; numbers start at 2 because the coordinator is 1."""
        return range(2, self._sites + 2)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Queues the messages for the workers."""
        identities = []
        for message in messages:
            self._count += 1
            identity = str(self._count)
            message.metadata.__dict__["_message_id"] = identity
            identities.append(identity)
            self._asked.put(message)
        return identities

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The answers that are there; waits a moment for the first."""
        wanted = set(message_ids)
        with self._arrived:
            self._arrived.wait_for(lambda: wanted & self._answers.keys(), timeout=_WAIT_S)
            arrived, self._answers = self._answers, {}
        for _ in arrived:
            self._room.release()
        self._settle()
        # An answer nobody asks for any more came after its round was closed: it is dropped.
        return [arrived[one] for one in sorted(wanted & arrived.keys())]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Asks and waits for every answer."""
        pending = set(self.push_messages(messages))
        answers: list[Message] = []
        while pending:
            arrived = list(self.pull_messages(pending))
            pending -= {message.metadata.reply_to_message_id for message in arrived}
            answers += arrived
        return answers

    def _work(self) -> None:
        with suppress(KeyboardInterrupt):
            while True:
                self._room.acquire()
                message = self._asked.get()
                if message is None:
                    return
                answer = self._app(message, self._context(message.metadata.dst_node_id))
                with self._arrived:
                    self._answers[message.metadata.message_id] = answer
                    self._arrived.notify_all()
                del message, answer  # while waiting, a worker holds no tensors

    def _context(self, node: int) -> Context:
        config: UserConfig = {"partition-id": node - 2, "num-partitions": self._sites}
        return Context(_RUN_ID, node, config, RecordDict(), {})
