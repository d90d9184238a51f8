"""The intake of one queue: hands out messages of every home that this region acts for, as they become due.

Nobody polls: the journal tells what arrives, a timer when the next one is due. Messages are handed out only while the
region may act for their home; the commit asks again. What waits in memory is bounded (`core.backlog`), the rest is read
when room is made.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Mapping
from typing import Any

from proa.core.backlog import WINDOW, Backlog
from proa.core.queue import LAST, Spot, prefix, spot
from proa.declare.keys import NEXT
from proa.declare.queues import Queue
from proa.ports import Span
from proa.runtime.errands import Ends
from proa.runtime.events import MessagesAdopted

PAGE = WINDOW // 2
UNFIT_S = 1.0
"""How long a message waits when this region turns out not to be the one to handle it."""


class Intake:
    """What waits in a queue, by home."""

    def __init__(self, queue: Queue[Any], ends: Ends) -> None:
        self.queue = queue
        self.paused = False
        self._ends = ends
        self._backlogs: dict[str, Backlog] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._reading: set[tuple[str, str]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def homes(self) -> Mapping[str, Backlog]:
        """The backlogs of the homes that this region acts for."""
        return self._backlogs

    # Handing out.

    async def take(self, most: int) -> list[str]:
        """The keys of the next messages of one home, at most so many; waits until there is one."""
        while True:
            if keys := self._take(most):
                return keys
            await self._news()

    def _take(self, most: int) -> list[str]:
        if self.paused:
            return []
        now = self._ends.clock.now()
        for home, backlog in self._backlogs.items():
            if not self._ends.may(self.queue.place(home)):
                continue
            keys: list[str] = []
            while len(keys) < most and (key := backlog.take(now)) is not None:
                keys.append(key)
            self._read_on(home, backlog)
            if keys:
                return keys
        return []

    async def _news(self) -> None:
        self._set_timer()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        finally:
            if not future.done() or future.cancelled():
                self._waiting.remove(future)

    def wake(self, number: int = 1) -> None:
        """Let so many of those who wait look again."""
        while number > 0 and self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                number -= 1

    def _set_timer(self) -> None:
        """Ring when the next message is due. One that is due by now waits for a right: it is looked at later."""
        times = [at for backlog in self._backlogs.values() if (at := backlog.due_at()) is not None]
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if times and not self.paused:
            wait_s = min(times) - self._ends.clock.now()
            self._timer = asyncio.get_running_loop().call_later(wait_s if wait_s > 0 else UNFIT_S, self._time)

    def _time(self) -> None:
        self._timer = None
        self.wake(self.queue.declared.concurrency if self.queue.declared else 1)

    def done(self, key: str) -> None:
        """A message is dealt with."""
        if backlog := self._backlogs.get(spot(key).home):
            backlog.done(key)
            if self.queue.groups:
                self.wake()

    def put_back(self, key: str, after_s: float = UNFIT_S) -> None:
        """Hand a message out again after a while."""
        if backlog := self._backlogs.get(spot(key).home):
            backlog.put_back(key, self._ends.clock.now() + after_s)
            self.wake()

    # Knowing what waits.

    def arrived(self, where: Spot) -> None:
        """A message was written."""
        backlog = self._backlogs.get(where.home)
        if backlog and backlog.arrived(where):
            self.wake()

    def gone(self, where: Spot) -> None:
        """A message's row was removed."""
        if backlog := self._backlogs.get(where.home):
            backlog.gone(where)

    async def follow(self, homes: Collection[str], since: float) -> None:
        """Act for these homes from now on, and for no other."""
        self._backlogs = {home: backlog for home, backlog in self._backlogs.items() if home in homes}
        for home in homes:
            if home not in self._backlogs:
                self._backlogs[home] = Backlog(since)
                await self._load(home)
        self.wake(len(self._waiting))

    async def reload(self) -> None:
        """Look at every row again: some may have come or gone otherwise than by a commit."""
        for home, backlog in list(self._backlogs.items()):
            backlog.forget()
            await self._load(home)
        self.wake(len(self._waiting))

    async def _load(self, home: str) -> None:
        """Learn which messages wait for a home."""
        start, backlog = prefix(self.queue.name, home), self._backlogs[home]
        while band := await self._next_band(home, start):
            await self._read(home, band)
            if backlog.window(band).horizon is not None:
                backlog.window(band).beyond = await self._ends.store.count(self._behind(home, band))
            start = prefix(self.queue.name, home, band) + LAST
        backlog.looked = True
        if home != self._ends.region and backlog.depth:
            self._ends.telemetry.emit(MessagesAdopted(self.queue.name, home, backlog.depth))

    async def _next_band(self, home: str, start: str) -> str | None:
        end = prefix(self.queue.name, home) + LAST
        found = await self._ends.store.query(Span(self.queue.table, ("", start), ("", end), 1))
        return spot(found[0].key).band if found else None

    def _read_on(self, home: str, backlog: Backlog) -> None:
        """Read the rows behind the horizon of bands that run low, on the side."""
        for band in backlog.wanting():
            task = asyncio.get_running_loop().create_task(self._read(home, band))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _read(self, home: str, band: str) -> None:
        """Read the next rows of a band."""
        backlog = self._backlogs[home]
        backlog.window(band).begin()
        rows = await self._ends.store.query(self._behind(home, band))
        horizon = rows[-1].key + NEXT if len(rows) == PAGE else None
        backlog.extend(band, [row.key for row in rows], horizon)
        self.wake(len(rows))

    def _behind(self, home: str, band: str) -> Span:
        """The rows of a band behind its horizon."""
        start = prefix(self.queue.name, home, band)
        horizon = self._backlogs[home].window(band).horizon or start
        return Span(self.queue.table, ("", horizon), ("", start + LAST), PAGE)

    def stop(self) -> None:
        """Hand out nothing more."""
        for task in self._tasks:
            task.cancel()
        if self._timer:
            self._timer.cancel()
