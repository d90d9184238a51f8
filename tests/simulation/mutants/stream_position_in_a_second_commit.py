"""How far a stream has come is noted after the commit of what its handler wrote: a crash in between tells it again."""

from proa.ports import Committed
from proa.runtime import streams
from proa.runtime.streams import Streams


def plant(replace):
    commit = Streams._commit

    async def in_two(self, places, ends, work, dots):
        result = await commit(self, places, [place.position for place in places], work, dots)
        if not isinstance(result, Committed):
            return result
        places = [await self._place(place.stream, place.origin) for place in places]
        return await commit(self, places, ends, streams._nothing, ())

    replace(Streams, "_commit", in_two)
