"""What a stream made of a change stays where the change itself is set aside by a fail-over.

Nothing may ever show this one. What a stream made is committed with the stream's position, a row of mode `home`, so it
is set aside wherever it lies past a cut; and where it lies before one, so does the change that it depends on.
"""

from proa.runtime.streams import Streams


def plant(replace):
    commit = Streams._commit

    async def unconnected(self, places, ends, work, _dots):
        return await commit(self, places, ends, work, ())

    replace(Streams, "_commit", unconnected)
