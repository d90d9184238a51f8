"""A message that comes out of the global store leaves no mark that it did, so that a repeat fetches it again."""

from proa.core.queue import MESSAGES, SEPARATOR
from proa.core.replicate.journal import Write
from proa.runtime.messages.relay import Relay, place_of


def plant(replace):
    async def fetch(self, home):
        there = False
        async for rows in self._pages(home):
            there = True
            writes = [Write(MESSAGES, row.key.partition(SEPARATOR)[2], row.value, "home") for row in rows]
            await self._ends.commit(place_of(home), {}, writes)
            await self._remove(rows)
        return there

    replace(Relay, "fetch", fetch)
