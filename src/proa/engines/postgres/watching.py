"""The eyes of a process: one poller that notices what others commit, for all who watch.

It looks at the revision after a pause that grows while nothing happens, or at once when the database notifies it. That
only makes it quicker: where nobody notifies, it finds everything by looking. It remembers since when each routine row
is surely kept: since this process committed it, or first saw it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from psycopg.errors import FeatureNotSupported
from psycopg.errors import SyntaxError as StatementUnknown

from proa.bell import Bell
from proa.core.replicate.journal import Key, Row
from proa.engines.postgres.connections import Connection, Line, execute, fetched
from proa.engines.postgres.judging import Writes
from proa.errors import GlobalStoreUnreachable, ProaError
from proa.ports import Clock

PAUSE_MIN_S = 0.01
PAUSE_MAX_S = 0.25
LOOK_TIMEOUT_S = 0.5
AWAY_PAUSE_S = 0.2


class Eyes:
    """`revision` is the latest that this process knows of. It looks as soon as somebody waits for the first time."""

    def __init__(self, line: Line, clock: Clock) -> None:
        self.revision = 0
        self._line = line
        self._clock = clock
        self._news: dict[str, int] | None = None
        self._looked = 0
        self._kept: dict[Key, tuple[int, float]] = {}
        self._failure: ProaError | None = None
        self._bell = Bell()
        self._wake = asyncio.Event()
        self._pause_s = PAUSE_MIN_S
        self._known: Connection | None = None
        self._looking: asyncio.Task[None] | None = None

    async def news(self, after: int, waking: Sequence[str], timeout_s: float) -> None:
        """Wait for news after a revision in one of the tables `waking` (none: in any), at most so long.

        Raises:
            GlobalStoreUnreachable: the database cannot be looked at.
        """
        if self._looking is None:
            self._looking = asyncio.ensure_future(self._look_on())
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while not self._has_news(after, waking) and (left_s := end - loop.time()) > 0:
            if self._failure:
                raise self._failure
            await self._bell.wait(left_s)

    def committed(self, writes: Writes) -> None:
        """This process's own commits are durable."""
        rows = writes.rows.values()
        self.revision = max([self.revision, *(row.version for row in rows)])
        self.saw(row for row in rows if (row.table, row.key) in writes.routine)
        if any(row.table.startswith("~") for row in rows):
            self._wake.set()

    def saw(self, routine: Iterable[Row]) -> None:
        """Routine rows are kept by now, if not longer."""
        now = self._clock.monotonic()
        for row in routine:
            self._note(row.table, row.key, row.version, now)

    def kept_since(self, row: Row) -> float:
        """Since when a routine row, that was seen, is surely kept."""
        version, at = self._kept[row.table, row.key]
        return at if version == row.version else self._clock.monotonic()

    async def close(self) -> None:
        """Look no more; whoever waits is sent home."""
        if self._looking:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking
        self._failure = GlobalStoreUnreachable("the connection to the global store was closed")
        self._bell.ring()

    def _has_news(self, after: int, waking: Sequence[str]) -> bool:
        news = self._news or {}
        return any(revision > after and (not waking or table in waking) for table, revision in news.items())

    def _note(self, table: str, key: str, version: int, now: float) -> None:
        if version > self._kept.get((table, key), (0, 0.0))[0]:
            self._kept[table, key] = version, now

    async def _look_on(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._pause_s + LOOK_TIMEOUT_S):
                    found = await self._line.run(self._rest_and_look)
            except (ProaError, TimeoutError) as error:
                detail = error.detail if isinstance(error, ProaError) else f"no answer within {LOOK_TIMEOUT_S:g} s"
                self._failure = GlobalStoreUnreachable(detail)
                self._bell.ring()
                await self._clock.sleep(AWAY_PAUSE_S)
            else:
                self._failure = None
                if found:
                    self._bell.ring()

    async def _rest_and_look(self, connection: Connection) -> bool:
        """Rest, look, and say whether there is news; on a new connection, look at once."""
        if connection is self._known:
            await self._rest(connection)
        else:
            await _known(connection, "listen")
            self._known = connection
        return await (self._look_first(connection) if self._news is None else self._look(connection, self._news))

    async def _rest(self, connection: Connection) -> None:
        """Until the database says something, this process committed something, or the pause is over."""
        loop, said = asyncio.get_running_loop(), connection.fileno()
        loop.add_reader(said, self._wake.set)
        try:
            async with asyncio.timeout(self._pause_s):
                await self._wake.wait()
        except TimeoutError:
            pass
        finally:
            loop.remove_reader(said)
        self._wake.clear()

    async def _look_first(self, connection: Connection) -> bool:
        """Learn of which revision the last news is in each table."""
        known = self.revision
        rows = await fetched(connection, "news")
        self._looked = self._rise(known, rows)
        self._news = {table: version for _, table, version in rows if table is not None}
        return True

    async def _look(self, connection: Connection, news: dict[str, int]) -> bool:
        """Learn what changed since, and come back sooner where something did."""
        known = self.revision
        rows = await fetched(connection, "changed", (self._looked,))
        now = self._clock.monotonic()
        self._looked = self._rise(known, rows)
        changed = [row for _, *row in rows if row[0] is not None]
        for table, key, version, routine in changed:
            if routine:
                self._note(table, key, version, now)
            else:
                news[table] = version
        self._pause_s = PAUSE_MIN_S if changed else min(PAUSE_MAX_S, self._pause_s * 2)
        return any(not routine for *_, routine in changed)

    def _rise(self, known: int, rows: Sequence[Sequence[Any]]) -> int:
        """The revision that the database told, which was asked when this process knew of another one."""
        if not rows or rows[0][0] < known:
            raise went_back(known, rows[0][0] if rows else 0)
        self.revision = max(self.revision, rows[0][0])
        return rows[0][0]


def went_back(known: int, found: int) -> GlobalStoreUnreachable:
    """A database that has lost commits: nothing that rests on it may be acknowledged."""
    return GlobalStoreUnreachable(
        f"the database went back from revision {known} to {found}: it lost commits that it had acknowledged"
    )


async def can_notify(connection: Connection) -> bool:
    """Whether the database knows how to notify those who listen."""
    return await _known(connection, "notify")


async def _known(connection: Connection, name: str) -> bool:
    """Run a statement that not every database of this wire knows; whether this one does."""
    try:
        await execute(connection, name)
    except (FeatureNotSupported, StatementUnknown):
        return False
    return True
