"""Between the doors and Flower's state: who is which node, what was handed out, what came in."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from fedvox.common.identity.certificates import Identity
from fedvox.server.gate.bodies import Turned
from fedvox.server.gate.calls import FLEET, RUNTIME, check_object
from fedvox.server.gate.members import Members
from fedvox.server.gate.post import Post
from fedvox.server.gate.recording import Incidents, Recorder
from fedvox.server.gate.superlink import SuperLink

_WORKERS = 2
"""Threads that read, write and check large objects; all else is done at once."""
ONLINE_S = 45.0
"""A site that was not heard of for so long is away; its link asks every 20 s at least."""
_LOOK_S = 0.2

_SURE_S = 120.0
"""A request that a conductor has not asked for so long after it was made, it asks for no more."""
_LARGE_BYTES = 64 << 10


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
        self.post = Post()
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
            self.superlink.take_back(node)
        return await self.post.wait_for(lambda: self.superlink.has_request(node), wait_s)

    async def answer(self, call: str, request: Any, site: str) -> Any:
        """Flower's answer to a site's call."""
        node = self.node_of(site)
        if call == "activate-node":
            # Flower turns away a node that it believes to be there: one that was restarted.
            self.superlink.set_offline(node)
        elif call == "confirm-message-received":
            self._drop(request.message_object_id, site)
        answer = await self._done(
            request, call, partial(self.superlink.ask_as_site, FLEET[call], request)
        )
        if call == "pull-messages":
            self._given[site] |= {message.metadata.message_id for message in answer.messages_list}
        elif call == "deactivate-node":
            self._go_offline(site)
        return answer

    def _drop(self, name: str, site: str) -> None:
        """The site is done with a message: where it has not answered, it will not."""
        if not self.superlink.is_answered(name):
            self.superlink.forget({name})
        self._given[site].discard(name)

    async def _done(self, request: Any, call: str, ask: Callable[[], Any]) -> Any:
        """The answer of Flower's state; large objects are worked on beside the event loop."""
        if call == "push-object":
            large = len(request.object_content) > _LARGE_BYTES
            await self.run(check_object, request) if large else check_object(request)
        else:
            large = call == "pull-object" and self.superlink.is_in_file(request.object_id)
        answer = await self.run(ask) if large else ask()
        if call in ("push-messages", "push-object"):
            self.post.stir()
        return answer

    # --- conductors ------------------------------------------------------------------------

    async def answer_conductor(self, call: str, request: Any, token: str) -> Any:
        """Flower's answer to a conductor's call."""
        if call == "pull-messages":
            self.superlink.keep_available(request.message_ids, time.time() + _LOOK_S)
        return await self._done(
            request, call, partial(self.superlink.ask_as_conductor, RUNTIME[call], request, token)
        )

    async def await_answers(self, run: int, messages: Sequence[str], wait_s: float) -> list[str]:
        """Which of a run's requests have been answered."""
        self._wanted[run] = (time.time(), frozenset(messages))
        return await self.post.wait_for(lambda: self.superlink.answered(run, messages), wait_s)

    # --- housekeeping ----------------------------------------------------------------------

    def tidy(self) -> None:
        """Removes what nobody waits for any more."""
        for run, (asked_at, wanted) in self._wanted.items():
            self.superlink.forget(self.superlink.older_than(run, asked_at - _SURE_S) - wanted)
        for given in self._given.values():
            gone = given - self.superlink.kept(given)
            self.superlink.forget(gone)
            given -= gone

    def end_run(self, run: int) -> None:
        """Ends a run; nothing of it is kept."""
        self._wanted.pop(run, None)
        self.superlink.close_run(run)

    def close(self) -> None:
        """Lets go of everything."""
        self._workers.shutdown(wait=True)
        self.superlink.close()


def _iso(at: float | None) -> str:
    return datetime.fromtimestamp(at, tz=UTC).isoformat(timespec="seconds") if at else ""
