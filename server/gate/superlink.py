"""Flower's SuperLink without its web server: its state, behind the calls of `calls`.

The web server is not used: it answers the control interface on the same port, has no mutual TLS,
and takes 5 ms for a call whose work takes a tenth of one. Nor is Flower's database used, which
takes 20 times as long as its state in memory and never shrinks: nothing in it need outlive the
process, since conductors have checkpoints and sites have outboxes. Objects of any size lie in
files. `tests/server/gate/test_superlink.py` fails loudly when Flower moves a name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flwr.common.constant import NOOP_ACCOUNT_NAME, NOOP_FLWR_AID, SubStatus
from flwr.server.superlink.linkstate import InMemoryLinkState
from flwr.supercore.constant import NOOP_FEDERATION_ID
from flwr.supercore.fab import Fab
from flwr.superlink.federation import NoOpFederationManager

from fedvox.common.fab import APP, TASK, VERSION, fab, fab_hash
from fedvox.server.gate.calls import Fault, Route, called
from fedvox.server.gate.objects import FileObjects

logging.getLogger("flwr").setLevel(logging.WARNING)


class SuperLink:
    """Flower's nodes, runs, messages and objects."""

    def __init__(self, folder: Path) -> None:
        """Begins with nothing; `folder` is emptied."""
        self._objects = FileObjects(folder)
        self.state: Any = InMemoryLinkState(NoOpFederationManager(), self._objects)
        self.state.store_fab(Fab(fab_hash(), fab(), {}))

    def ask_as_site(self, route: Route, request: Any) -> Any:
        """What Flower answers a site."""
        return called(route.answer, request, self.state)

    def ask_as_conductor(self, route: Route, request: Any, token: str) -> Any:
        """What Flower answers the conductor that holds the token."""
        return called(route.answer, request, self.state, self._task(token))

    def run_of(self, token: str) -> int:
        """The run of a conductor's token; Fault where it has none."""
        return int(self._task(token).run_id)

    def _task(self, token: str) -> Any:
        task = self.state.get_task_by_token(token) if token else None
        if task is None:
            raise Fault(401, "token")
        return task

    def register(self, site: str, public_key: bytes) -> int:
        """A new node for a site."""
        account = (NOOP_FLWR_AID, NOOP_ACCOUNT_NAME)
        return int(self.state.create_node(*account, public_key, 0, name=site))

    def unregister(self, node: int) -> None:
        """Takes a node out, with its key: Flower knows neither any more."""
        self.state.delete_node(NOOP_FLWR_AID, node)
        for keys in (self.state.node_public_key_to_node_id, self.state.node_public_keys):
            _without(keys, self.state.nodes[node].public_key)

    def set_offline(self, node: int) -> None:
        """Tells Flower what the gate knows sooner."""
        self.state.deactivate_node(node)

    def open_run(self) -> tuple[int, int, str]:
        """A new run of the app without code: its number, its task's, and the task's token."""
        number = self.state.create_run(
            APP, VERSION, fab_hash(), {}, NOOP_FEDERATION_ID, None, NOOP_FLWR_AID, TASK
        )
        (run,) = self.state.get_run_info(run_ids=[number])
        token = self.state.claim_task(run.primary_task_id)
        if not token or not self.state.activate_task(run.primary_task_id):
            raise Fault(500, "run")
        return int(number), int(run.primary_task_id), str(token)

    def close_run(self, run: int) -> None:
        """Ends a run: its messages and objects are removed, and no answer to it is taken."""
        found = self.state.get_run_info(run_ids=[run])
        if found:
            self.state.finish_task(found[0].primary_task_id, SubStatus.COMPLETED, "")
            self.state.cleanup_run(run)

    # --- what lies ready -------------------------------------------------------------------

    def has_request(self, node: int) -> bool:
        """Whether a request waits for a node, with all that belongs to it."""
        return any(
            message.metadata.dst_node_id == node
            and message.metadata.delivered_at == ""
            and self._is_whole(name)
            for name, message in list(self.state.message_ins_store.items())
        )

    def answered(self, run: int, requests: Iterable[str]) -> list[str]:
        """Which of a run's requests have an answer that came whole, the first one first."""
        wanted = frozenset(requests)
        return [
            message.metadata.reply_to_message_id
            for name, message in list(self.state.message_res_store.items())
            if message.metadata.reply_to_message_id in wanted
            and message.metadata.run_id == run
            and message.metadata.delivered_at == ""
            and self._is_whole(name)
        ]

    def _is_whole(self, message: str) -> bool:
        session = self.state._object_push_session_by_root.get(message)
        found = self.state._object_push_sessions.get(session)
        return found is None or not found.pending_object_ids

    def take_back(self, node: int) -> None:
        """Gives a node again what it has not answered; what it has sent only in part is dropped."""
        for name, answer in list(self.state.message_res_store.items()):
            if answer.metadata.src_node_id == node and not self._is_whole(name):
                session = self.state._object_push_session_by_root[name]
                self.state._cleanup_push_session(session, cleanup_messages=True)
        answered = self.state.message_ins_id_to_message_res_id
        for name, message in list(self.state.message_ins_store.items()):
            if message.metadata.dst_node_id == node and name not in answered:
                message.metadata.delivered_at = ""

    def keep_available(self, requests: Iterable[str], until: float) -> None:
        """Lets answers be fetched of sites that have gone since they gave them."""
        for name in requests:
            message = self.state.message_ins_store.get(name)
            node = self.state.nodes.get(message.metadata.dst_node_id) if message else None
            if node is not None:
                node.online_until = max(node.online_until, until)

    def is_answered(self, request: str) -> bool:
        """Whether a request that is still kept has an answer."""
        return request in self.state.message_ins_id_to_message_res_id

    def kept(self, requests: Iterable[str]) -> set[str]:
        """Which of these requests are still kept."""
        return {name for name in requests if name in self.state.message_ins_store}

    def older_than(self, run: int, created_at: float) -> set[str]:
        """A run's requests that were made before a time."""
        return {
            name
            for name, message in list(self.state.message_ins_store.items())
            if message.metadata.run_id == run and message.metadata.created_at < created_at
        }

    def forget(self, requests: set[str]) -> None:
        """Removes requests, their answers, and what only they refer to."""
        answers = self.state.message_ins_id_to_message_res_id
        names = requests | {answers[name] for name in requests if name in answers}
        self.state.delete_messages(requests)
        for name in names:
            self._objects.delete(name)

    def is_in_file(self, name: str) -> bool:
        """Whether it takes the disk to get an object."""
        return self._objects.is_in_file(name)

    @property
    def object_bytes(self) -> int:
        """How much lies in files."""
        return self._objects.file_bytes

    def close(self) -> None:
        """Removes all files."""
        self._objects.clear()


def _without(keys: Any, key: bytes) -> None:
    if isinstance(keys, set):
        keys.discard(key)
    else:
        keys.pop(key, None)
