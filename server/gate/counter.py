"""Between the doors and Flower's state: who is which node, what was handed out, what came in."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, NamedTuple

from fedvox.common.identity.certificates import Identity
from fedvox.server.gate.bodies import Turned
from fedvox.server.gate.members import Members
from fedvox.server.gate.post import Post, signed
from fedvox.server.gate.recording import Incidents, Recorder
from fedvox.server.gate.superlink import FLEET, RUNTIME, SuperLink

_WORKERS = 2
"""Threads that work on the file: SQLite has one writer, and each connection its own cache."""
ONLINE_S = 45.0
"""A site that was not heard of for so long is away; its link asks every 20 s at least."""
_LOOK_S = 0.2

_UNFINISHED = """
    SELECT session.session_id AS session FROM object_push_session_roots AS root
    JOIN object_push_sessions AS session ON session.session_id = root.session_id
    JOIN message_res AS answer ON answer.message_id = root.root_object_id
    WHERE answer.src_node_id = :node AND session.pending_count > 0
"""
_HAND_OUT_AGAIN = """
    UPDATE message_ins SET delivered_at = '' WHERE dst_node_id = :node AND delivered_at != ''
        AND message_id NOT IN (SELECT reply_to_message_id FROM message_res)
"""
_UNWANTED = "SELECT message_id FROM message_ins WHERE run_id = :run AND created_at < :before"
"""Requests that the conductor does not ask for any more, though it has asked since."""
_KEPT = (
    "SELECT message_id FROM message_ins WHERE message_id IN (SELECT value FROM json_each(:names))"
)
_SURE_S = 120.0
_PAGES_AT_ONCE = 4096


class Presence(NamedTuple):
    """Whether a site is there, and when it was last heard of (ISO 8601 in UTC, or empty)."""

    online: bool
    last_seen: str


class Counter:
    """Serves sites and conductors from Flower's state. For the event loop's thread."""

    def __init__(
        self, superlink: SuperLink, members: Members, incidents: Incidents, record: Recorder
    ) -> None:
        self.superlink = superlink
        self.incidents = incidents
        self.post = Post(superlink.database)
        self._members = members
        self._record = record
        self._nodes: dict[str, int] = {}
        self._keys: dict[str, bytes] = {}
        self._seen: dict[str, float] = {}
        self._online: set[str] = set()
        self._given: defaultdict[str, set[str]] = defaultdict(set)
        self._wanted: dict[int, tuple[float, frozenset[str]]] = {}
        self._looked = 0.0
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="gate")

    async def run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Work on Flower's state, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._workers, work, *arguments)

    # --- members ---------------------------------------------------------------------------

    def look_at_members(self) -> bool:
        """Reads the registry; nodes come and go with the sites. Whether anything has changed."""
        self._looked = time.monotonic()
        if not self._members.refresh():
            return False
        keys = dict(self._members.keys)
        for site in [one for one, key in self._keys.items() if keys.get(one) != key]:
            self.superlink.unregister(self._nodes.pop(site))
            self._go_offline(site)
            del self._keys[site]
            self._given.pop(site, None)
        for site in keys.keys() - self._keys.keys():
            self._nodes[site] = self.superlink.register(site, keys[site])
            self._keys[site] = keys[site]
        return True

    def why_not(self, identity: Identity | None) -> str:
        """The code under which somebody is turned away; empty for a member."""
        why = self._members.why_not(identity)
        if why and identity is not None and time.monotonic() - self._looked > _LOOK_S:
            self.look_at_members()  # it may have joined a moment ago
            why = self._members.why_not(identity)
        return why

    def node_of(self, site: str) -> int:
        """A member's node; the call itself is the sign that the site is there."""
        node = self._nodes.get(site)
        if node is None:
            raise Turned(403, "not-a-member")
        self._seen[site] = time.time()
        if site not in self._online:
            self._online.add(site)
            self._record("site-online", {"site": site})
        return node

    def presence(self) -> Mapping[str, Presence]:
        """Every member, and whether it is there."""
        return {
            site: Presence(site in self._online, _iso(self._seen.get(site)))
            for site in sorted(self._nodes)
        }

    def notice_absent(self, connected: Set[str]) -> None:
        """Takes note of sites that were not heard of, or have hung up."""
        now = time.time()
        for site in list(self._online):
            silent_s = now - self._seen[site]
            if silent_s > ONLINE_S or (site not in connected and silent_s > 5.0):
                self._go_offline(site)

    def _go_offline(self, site: str) -> None:
        if site in self._online:
            self._online.discard(site)
            if site in self._nodes:
                self.superlink.set_offline(self._nodes[site])
            self._record("site-offline", {"site": site})

    # --- sites -----------------------------------------------------------------------------

    def given_to(self, site: str) -> Set[str]:
        """Messages that a site was given."""
        return self._given[site]

    async def await_request(self, site: str, node: int, wait_s: float) -> bool:
        """Whether there is a request for a site, which asks because it has nothing in hand.

        So what it was given and has not answered is given again, and what it has answered only in
        part is taken back: it will not go on with it.
        """
        if self._given[site]:
            await self.run(self._take_back, node)
        return await self.post.wait_for(lambda: self.post.has_request(node), wait_s)

    def _take_back(self, node: int) -> None:
        link, values = self.superlink, {"node": signed(node)}
        unfinished = link.execute(_UNFINISHED, values)
        if unfinished:
            link.drop_unfinished({str(row["session"]) for row in unfinished})
        link.execute(_HAND_OUT_AGAIN, values)

    async def answer(self, call: str, request: Any, site: str) -> Any:
        """Flower's answer to a site's call."""
        node = self.node_of(site)
        if call == "activate-node":
            # Flower turns away a node that it believes to be there: one that was restarted.
            await self.run(self.superlink.set_offline, node)
        if call == "confirm-message-received":
            return await self._confirmed(request, site)
        answer = await self.run(self.superlink.ask_as_site, FLEET[call], request)
        if call == "pull-messages":
            self._hand_out(answer, site)
        elif call == "deactivate-node":
            self._go_offline(site)
        elif call in ("push-messages", "push-object"):
            self.post.stir()
        return answer

    def _hand_out(self, answer: Any, site: str) -> None:
        self._given[site] |= {message.metadata.message_id for message in answer.messages_list}

    async def _confirmed(self, request: Any, site: str) -> Any:
        """The site is done with a message: one that it has not answered is dropped."""
        name = request.message_object_id
        answered = await self.run(
            self.superlink.execute,
            "SELECT 1 FROM message_res WHERE reply_to_message_id = :name",
            {"name": name},
        )
        if not answered:
            await self.run(self.superlink.forget, {name})
        self._given[site].discard(name)
        return await self.run(
            self.superlink.ask_as_site, FLEET["confirm-message-received"], request
        )

    # --- conductors ------------------------------------------------------------------------

    async def answer_conductor(self, call: str, request: Any, token: str) -> Any:
        """Flower's answer to a conductor's call."""
        answer = await self.run(self.superlink.ask_as_conductor, RUNTIME[call], request, token)
        if call in ("push-messages", "push-object"):
            self.post.stir()
        return answer

    async def await_answers(self, run: int, messages: Sequence[str], wait_s: float) -> list[str]:
        """Which of a run's requests have been answered."""
        self._wanted[run] = (time.time(), frozenset(messages))
        return await self.post.wait_for(lambda: self.post.answered(run, messages), wait_s)

    # --- housekeeping ----------------------------------------------------------------------

    async def tidy(self) -> None:
        """Removes what nobody waits for, and gives its room in the file back."""
        await self.run(self._tidy)

    def _tidy(self) -> None:
        for run, (asked_at, wanted) in list(self._wanted.items()):
            self.superlink.forget(
                self._names(_UNWANTED, {"run": signed(run), "before": asked_at - _SURE_S}) - wanted
            )
        for given in self._given.values():
            kept = self._names(_KEPT, {"names": json.dumps(sorted(given))})
            self.superlink.forget(gone := given - kept)
            given -= gone
        self.superlink.execute(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})", {})

    def _names(self, statement: str, values: Mapping[str, Any]) -> set[str]:
        return {str(row["message_id"]) for row in self.superlink.execute(statement, values)}

    def end_run(self, run: int) -> None:
        """Ends a run; nothing of it is kept. Models may be removed: it does not wait for that."""
        self._wanted.pop(run, None)
        self._workers.submit(self.superlink.close_run, run)

    def close(self) -> None:
        """Lets go of everything."""
        self._workers.shutdown(wait=True)
        self.post.close()
        self.superlink.close()


def _iso(at: float | None) -> str:
    return datetime.fromtimestamp(at, tz=UTC).isoformat(timespec="seconds") if at else ""
