"""What a tick's handler wrote is committed first, and that its due time is dealt with in a commit of its own."""

from proa.ports import Committed
from proa.runtime.errands import Errand


def plant(replace):
    commit = Errand.commit

    async def commit_apart(self, reads, writes):
        if self.unit.route.method != "SCHEDULE":
            return await commit(self, reads, writes)
        result = await commit(self, {}, [])
        if not isinstance(result, Committed):
            return result
        return await self._ends.commit(self._place, reads, writes, self._epoch)

    replace(Errand, "commit", commit_apart)
