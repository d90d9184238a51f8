"""Pushes: a commit that somebody waits for goes at once to the members whose word counts.

A pull confirms what the one before it brought. While one waits here a commit leaves as its answer; but while an answer
or the next pull is under way a commit would wait for that first, and then go to and fro itself: two round trips at
worst. So what no pull takes is handed over in a call of its own, whose reply tells what the peer has. What is lost on
the way is left to the pulls, which ask for it again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

from proa.core.replicate.journal import FORMAT
from proa.core.replicate.stamp import region_of
from proa.errors import LinkDown, LinkRefused, LinkTimeout
from proa.ports import Link, RegionStore

if TYPE_CHECKING:
    from proa.runtime.confirm import Confirmations
    from proa.runtime.passage import Passage
    from proa.runtime.replicator import Pull

IN_FLIGHT_MAX = 64
"""Pushes to one peer at a time; what is committed meanwhile goes with the next one."""
LIMIT = 500
TIMEOUT_S = 0.5


class Push(msgspec.Struct, frozen=True):
    """Commits of the caller's present origin, in order, and the mark of its process."""

    entries: list[bytes]
    boot: str
    format: int = FORMAT


class Served(Protocol):
    """What the replicator knows of a peer's pulls."""

    @property
    def reachable(self) -> bool: ...
    @property
    def served(self) -> int:
        """How many of its pulls are here now, to be answered with the next commit."""
        ...


class Pusher:
    """Hands one region's commits to members. `peer` tells of a peer's pulls, `decode` reads its reply."""

    def __init__(
        self,
        store: RegionStore,
        link: Link,
        confirming: Confirmations,
        peer: Callable[[str], Served],
        decode: Callable[[bytes], Pull],
        passage: Passage | None,
    ) -> None:
        self._store = store
        self._link = link
        self._confirming = confirming
        self._peer = peer
        self._decode = decode
        self._passage = passage
        self._sent: dict[str, int] = {}
        self._in_flight: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    def left(self, peer: str, seq: int) -> None:
        """The answer to a pull of `peer` leaves, with all up to `seq`."""
        self._sent[peer] = seq

    def look(self) -> None:
        """Somebody waits for what is durable here."""
        for member in self._confirming.group.counted:
            peer = region_of(member)
            if self._due(peer):
                self._in_flight[peer] += 1
                task = asyncio.get_running_loop().create_task(self._push(peer))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _due(self, peer: str) -> bool:
        known = self._peer(peer)
        free = known.reachable and not known.served and self._in_flight[peer] < IN_FLIGHT_MAX
        return free and self._head() > self._sent.get(peer, 0)

    def _head(self) -> int:
        return self._store.cursors().get(self._store.origin, 0)

    async def _push(self, peer: str) -> None:
        try:
            self._confirming.heard(await self._handed(peer))
        except (LinkDown, LinkTimeout, LinkRefused):
            return  # its next pull says how far it is
        finally:
            self._in_flight[peer] -= 1
        if self._confirming.awaited():
            self.look()

    async def _handed(self, peer: str) -> Pull:
        after, head = self._sent.get(peer, 0), self._head()
        self._sent[peer] = max(head, after)
        entries = await self._entries(peer, after, min(head - after, LIMIT))
        push = msgspec.msgpack.encode(Push(entries, self._confirming.boot))
        return self._decode(await self._link.call(peer, "push", push, timeout_s=TIMEOUT_S))

    async def _entries(self, peer: str, after: int, limit: int) -> list[bytes]:
        """What the peer may have of the next commits."""
        wanted = {self._store.origin: after}
        if limit <= 0:
            return []
        if self._passage:
            return (await self._passage.entries(peer, wanted, limit, {})).entries
        return await self._store.journal(wanted, limit)
