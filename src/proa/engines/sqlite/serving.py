"""What a region serves its peers: durable entries of the journal, its own and others', and word of new ones."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from proa.bell import Bell
from proa.core.replicate.stamp import Versions
from proa.engines.sqlite.files import SQL
from proa.engines.sqlite.inside import Inside


class Serving:
    """The journal of one store, for those who follow it."""

    def __init__(self, inside: Inside) -> None:
        self._in = inside
        self.news = Bell()
        """Rings when something is durable."""

    def entries(self, after: Versions, limit: int, size: int) -> list[bytes]:
        """Entries after the given cursors, at most `limit`, and no more once they have `size` bytes together.

        Each origin gets a share of the room: what another one's commits wait for must not stay behind them.
        """
        behind = [(origin, seq) for origin, seq in after.items() if self._has_after(origin, seq)]
        entries: list[bytes] = []
        for number, (origin, seq) in enumerate(behind):
            others = len(behind) - number
            share, most = size // others, max(1, (limit - len(entries)) // others)
            for entry in self._after(origin, seq, min(most, limit - len(entries))):
                entries.append(entry)
                size, share = size - len(entry), share - len(entry)
                if share <= 0:
                    break
        return entries

    def _has_after(self, origin: str, seq: int) -> bool:
        return self._in.durable_floors.get(origin, 0) <= seq < self._in.durable_cursors.get(origin, 0)

    def _after(self, origin: str, seq: int, limit: int) -> Iterator[bytes]:
        # Never past the cursors: the reader sees a commit a moment before they name it, and a peer that had more
        # of this origin than they say would prove that this disk was put back.
        room = min(limit, self._in.durable_cursors.get(origin, 0) - seq)
        for _, entry in self._in.reader.execute(SQL["entries_after"], (origin, seq, room)):
            yield entry

    async def changed(self, after: Versions, timeout_s: float) -> bool:
        """Wait until a durable commit lies beyond `after`, or there is a new origin; False when the time ran out."""
        loop, lives = asyncio.get_running_loop(), self._in.lives
        deadline = loop.time() + timeout_s
        while not self._beyond(after) and self._in.lives == lives:
            if not await self.news.wait(deadline - loop.time()):
                return False
        return True

    def _beyond(self, after: Versions) -> bool:
        return any(self._in.durable_cursors.get(origin, 0) > seq for origin, seq in after.items())
