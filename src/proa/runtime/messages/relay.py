"""The relay fetches the messages that global units left in the global store for the homes that this region acts for.

A message becomes a row of the region's store together with a mark that it was fetched, in one commit; then, once a
second region has that commit, the message is removed from the global store, and then the mark from here. So it arrives
once: whoever repeats a step finds the mark; and where the region is lost before a second one has the mark, its stand-in
finds the message still in the global store, and what the lost region made of it is parked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress

from proa.bell import Bell
from proa.core.home import Place
from proa.core.queue import FETCHED, LAST, MESSAGES, OUTBOX, SEPARATOR, prefix
from proa.core.replicate.journal import Dot, Row, Write
from proa.declare.keys import NEXT
from proa.errors import LinkDown, LinkRefused, LinkTimeout, Unavailable
from proa.ports import Batch, Committed, GlobalStore, Link, Method, Span
from proa.runtime.errands import Ends
from proa.runtime.events import MessagesFetched

PAGE = 200
IDLE_S = 10.0
"""Units that leave messages wake it; after this it looks whether one came that nobody told of."""
NUDGE = "outbox"
"""The link method by which a region tells the one that fetches its messages that there are some."""
NUDGE_TIMEOUT_S = 0.5
GONE = 1.0
"""Since when a message that was fetched is expired: the global store collects what is, and keeps what is deleted."""
PENDING_S = 0.05
PENDING_S_MAX = 2.0
"""How soon it looks again for what a second region does not have yet; longer each time."""


class Relay:
    """The relay of one region. `copied` says whether a second region has a commit, `regions` are all of the app.

    `busy`: something is left to fetch, or to tidy up, or may be.
    """

    def __init__(
        self,
        regions: Sequence[str],
        ends: Ends,
        global_store: GlobalStore,
        link: Link,
        copied: Callable[[Dot], bool],
    ) -> None:
        self._regions = regions
        self._ends = ends
        self._global = global_store
        self._link = link
        self._copied = copied
        self._news = Bell()
        self._told = False
        self.busy = True
        self._nudging: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to fetch."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        for task in (self._task, self._nudging):
            if task:
                task.cancel()

    def left(self) -> None:
        """A unit of this region left a message in the global store, or may have."""
        self.look()
        home = self._ends.authority.home_of(place_of(self._ends.region))
        if home not in (None, self._ends.region) and (self._nudging is None or self._nudging.done()):
            self._nudging = asyncio.get_running_loop().create_task(self._nudge(home))

    async def _nudge(self, home: str) -> None:
        with suppress(LinkDown, LinkTimeout, LinkRefused):  # it will look by itself
            await self._link.call(home, NUDGE, None, timeout_s=NUDGE_TIMEOUT_S)

    def methods(self) -> dict[str, Method]:
        """The link methods that other regions call."""

        async def nudged(_: str, __: object) -> None:
            self.look()

        return {NUDGE: nudged}

    def look(self) -> None:
        """Something may be left to fetch."""
        self._told = self.busy = True
        self._news.ring()

    async def _run(self) -> None:
        pause_s = PENDING_S
        while True:
            self._told = False
            self.busy = left = await self._look_at_all()
            pause_s = min(PENDING_S_MAX, pause_s * 2) if left else PENDING_S
            if not self._told:
                await self._news.wait(pause_s if left else IDLE_S)

    async def _look_at_all(self) -> bool:
        """Whether anything is left to do for a home of this region's."""
        return any([await self._looked_at(home) for home in self._regions])

    async def _looked_at(self, home: str) -> bool:
        place, left = place_of(home), False
        if self._ends.may(place):
            try:
                left = await self.fetch(home)
            except Unavailable:  # the global store is out of reach, or this one takes nothing
                left = True
        return left or (self._ends.authority.home_of(place) == self._ends.region and not self._ends.may(place))

    async def fetch(self, home: str) -> bool:
        """Fetch what waits for a home, and tidy up behind what was fetched before; whether something is left."""
        there: set[str] = set()
        async for rows in self._pages(home):
            there.update(row.key for row in rows)
            marks = await self._marks(rows)
            await self._take(home, [row for row in rows if marks[row.key] is None])
            await self._remove([row for row in rows if self._is_safe(marks[row.key])])
        return await self._tidy(home, there) or bool(there)

    async def _pages(self, home: str) -> AsyncIterator[list[Row]]:
        start, end = prefix(home), prefix(home) + LAST
        while rows := await self._global.query(Span(OUTBOX, ("", start), ("", end), PAGE, now=GONE)):
            yield rows
            start = rows[-1].key + NEXT

    async def _marks(self, rows: Sequence[Row]) -> Mapping[str, Row | None]:
        found = await self._ends.store.read([(FETCHED, row.key) for row in rows])
        return {row.key: mark for row, mark in zip(rows, found, strict=True)}

    def _is_safe(self, mark: Row | None) -> bool:
        """Whether a message was fetched for good: a mark that is removed says so, too."""
        return mark is not None and (mark.value is None or self._copied(mark.dot))

    async def _take(self, home: str, rows: Sequence[Row]) -> None:
        """Make messages of this region's store of those that were not fetched yet."""
        if not rows:
            return
        reads = {(FETCHED, row.key): 0 for row in rows}
        writes = [write for row in rows for write in _fetched(row)]
        if isinstance(await self._ends.commit(place_of(home), reads, writes), Committed):
            self._ends.telemetry.emit(MessagesFetched(home, len(rows)))

    async def _remove(self, rows: Sequence[Row]) -> None:
        """Remove messages from the global store that are safe here."""
        if rows:
            reads = {(OUTBOX, row.key): row.version for row in rows}
            writes = [Write(OUTBOX, row.key, b"", "strong", expires_at=GONE) for row in rows]
            await self._global.commit(Batch(self._ends.unit_id(), reads, writes, routine=True))

    async def _tidy(self, home: str, there: set[str]) -> bool:
        """Remove the marks of messages that are gone from the global store; whether any mark is left."""
        span = Span(FETCHED, ("", prefix(home)), ("", prefix(home) + LAST), 2 * PAGE)
        marks = await self._ends.store.query(span)
        gone = [mark for mark in marks if mark.key not in there]
        if gone:
            reads = {(FETCHED, mark.key): mark.version for mark in gone}
            writes = [Write(FETCHED, mark.key, None, "home") for mark in gone]
            await self._ends.commit(place_of(home), reads, writes)
        return len(marks) > len(gone)


def place_of(home: str) -> Place:
    """What decides which region fetches the messages for a home."""
    return Place(OUTBOX, home)


def _fetched(row: Row) -> list[Write]:
    """The message and its mark."""
    key = row.key.partition(SEPARATOR)[2]
    return [Write(MESSAGES, key, row.value, "home"), Write(FETCHED, row.key, b"", "home")]
