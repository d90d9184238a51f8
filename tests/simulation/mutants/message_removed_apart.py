"""What a message's handler wrote is committed first, and that the message is dealt with in a commit of its own."""

from proa.ports import Committed
from proa.runtime.errands import Errand


def plant(replace):
    async def commit(self, reads, writes):
        unit = self.unit
        if unit.store == "global":
            result = await self._commit_globally()
        else:
            result = await self._ends.store.commit(unit.batch("regional", None, self._epoch, keep_writes=True))
        if not isinstance(result, Committed):
            return result
        return await self._ends.commit(self._place, reads, writes, self._epoch)

    replace(Errand, "commit", commit)
