"""What a stream made of a change stays where the change itself is set aside by a fail-over."""

from proa.runtime.streams import Streams


def plant(replace):
    commit = Streams._commit

    async def unconnected(self, places, ends, work, _dots):
        return await commit(self, places, ends, work, ())

    replace(Streams, "_commit", unconnected)
