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
from proa.core.pace import Meter, Pace
from proa.core.queue import LAST, home_of, prefix, spot
from proa.declare.keys import NEXT
from proa.declare.queues import Queue
from proa.ports import Span
from proa.runtime.errands import Ends
from proa.runtime.events import MessagesAdopted

PAGE = WINDOW // 2
UNFIT_S = 1.0
"""How long a message waits when this region turns out not to be the one to handle it."""


class Intake:
    """What waits in a queue, by home. `paused` is why nothing is handed out, if so; `handled` how fast it goes."""

    def __init__(self, queue: Queue[Any], ends: Ends) -> None:
        declared = queue.declared
        self.queue = queue
        self.paused = ""
        self.pace = Pace(declared.concurrency, declared.rate_max) if declared else Pace(1)
        self.handled = Meter()
        self.runs = 0
        self._brake = declared.brake if declared else None
        self._ends = ends
        self._backlogs: dict[str, Backlog] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking = asyncio.Lock()
        """Rows may take their time to be read; of two who look, one would miss what the other was told meanwhile."""

    @property
    def homes(self) -> Mapping[str, Backlog]:
        """The backlogs of the homes that this region acts for."""
        return self._backlogs

    def knows(self, home: str) -> bool:
        """Whether this region acts for a home and has looked at all that waits for it."""
        return home in self._backlogs and self._backlogs[home].looked

    # Handing out.

    async def take(self, most: int) -> list[str]:
        """The keys of the next messages of one home, at most so many; waits until there is one. A run begins."""
        while True:
            wait_s = self._held_s()
            if wait_s == 0 and (keys := self._take(most)):
                self.runs += 1
                if self.pace.rate_max:
                    self.pace.began(len(keys), self._ends.clock.monotonic())
                return keys
            await self._news(wait_s)

    @property
    def _hands_out(self) -> bool:
        """Whether another run may begin; where none may, whoever changes that wakes those who wait."""
        return not self.paused and self.runs < self.pace.allowed

    def _held_s(self) -> float | None:
        """How long to hand out nothing; None: until somebody wakes those who wait."""
        if not self._hands_out:
            return None
        wait_s = self._brake() if self._brake else 0.0
        return max(wait_s, self.pace.wait_s(self._ends.clock.monotonic())) if self.pace.rate_max else wait_s

    def _take(self, most: int) -> list[str]:
        now = self._ends.clock.now()
        for home, backlog in self._backlogs.items():
            if self._ends.may(self.queue.place(home)):
                keys = backlog.take_some(most, now)
                self._read_on(home, backlog)
                if keys:
                    return keys
        return []

    async def _news(self, wait_s: float | None) -> None:
        self._set_timer(wait_s)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def wake(self, number: int = 1) -> None:
        """Let so many of those who wait look again; one that was cancelled waits no more."""
        while number > 0 and self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                number -= 1

    def _set_timer(self, wait_s: float | None) -> None:
        """Ring when the next message is due. One that is due by now waits for a right: it is looked at later."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if wait_s == 0:
            times = [at for backlog in self._backlogs.values() if (at := backlog.due_at()) is not None]
            due_s = min(times) - self._ends.clock.now() if times else None
            wait_s = UNFIT_S if due_s is not None and due_s <= 0 else due_s
        if wait_s is not None:
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._time)

    def _time(self) -> None:
        self._timer = None
        self.wake(len(self._waiting))

    def ended(self) -> None:
        """A run has ended."""
        self.runs -= 1
        self.wake()

    def done(self, key: str) -> None:
        """A message is dealt with."""
        if backlog := self._backlogs.get(home_of(key)):
            backlog.done(key)

    def put_back(self, key: str, after_s: float = UNFIT_S) -> None:
        """Hand a message out again after a while."""
        if backlog := self._backlogs.get(home_of(key)):
            backlog.put_back(key, self._ends.clock.now() + after_s)

    def pause(self, why: str) -> None:
        """Hand nothing out, for this reason; where it is empty, go on."""
        self.paused = why
        self.wake(len(self._waiting))

    # Knowing what waits.

    def arrived(self, key: str, home: str, band: str) -> None:
        """A message was written under a key, for a home and in a band of it."""
        backlog = self._backlogs.get(home)
        if backlog and backlog.arrived(key, band) and self._waiting and self._hands_out:
            self.wake()

    async def follow(self, homes: Collection[str], since: float) -> None:
        """Act for these homes from now on, and for no other."""
        self._backlogs = {home: backlog for home, backlog in self._backlogs.items() if home in homes}
        async with self._looking:
            for home in homes:
                if home not in self._backlogs:
                    self._backlogs[home] = Backlog(since)
                    await self._load(home)
                    self._tell_of(home)
        self.wake(len(self._waiting))

    def _tell_of(self, home: str) -> None:
        if home != self._ends.region and (depth := self._backlogs[home].depth):
            self._ends.telemetry.emit(MessagesAdopted(self.queue.name, home, depth))

    async def reload(self) -> None:
        """Look at every row again: some may have come or gone otherwise than by a commit."""
        async with self._looking:
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

    async def _next_band(self, home: str, start: str) -> str | None:
        end = prefix(self.queue.name, home) + LAST
        found = await self._ends.store.query(Span(self.queue.table, ("", start), ("", end), 1))
        return spot(found[0].key).band if found else None

    def _read_on(self, home: str, backlog: Backlog) -> None:
        """Read the rows behind the horizon of bands that run low, on the side."""
        for band in backlog.wanting():
            task = asyncio.get_running_loop().create_task(self._read_further(home, band))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _read_further(self, home: str, band: str) -> None:
        """Read on, unless somebody has by now."""
        async with self._looking:
            backlog = self._backlogs.get(home)
            if backlog and backlog.window(band).wants_more:
                await self._read(home, band)

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
