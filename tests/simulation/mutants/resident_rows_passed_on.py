"""What a region got from others it passes on as it has it, whoever may hold what is in there."""

import msgspec

from proa.core.replicate.journal import Commit
from proa.core.replicate.stamp import region_of
from proa.core.residency import Passing
from proa.runtime.passage import Passage

decode = msgspec.msgpack.Decoder(Commit).decode


def plant(replace):
    filtered = Passage.entries

    async def entries(self, *arguments):
        passed = await filtered(self, *arguments)
        return Passing([await as_held(self, entry) for entry in passed.entries], passed.stuck)

    async def as_held(self, entry):
        commit = decode(entry)
        if region_of(commit.origin) == self._region:
            return entry
        (held,) = await self._store.journal({commit.origin: commit.seq - 1}, 1)
        return held

    replace(Passage, "entries", entries)
