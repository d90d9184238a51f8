"""A region goes on to fire the schedules that it had, whether or not it still acts for them."""

from msgspec.structs import replace as changed

from proa.runtime.errands import Ends, Errand
from proa.runtime.schedules.slot import Slot


def plant(replace):
    commit, written = Errand.commit, Slot.written

    async def commit_anyway(self, reads, writes):
        if self.unit.route.method != "SCHEDULE" or self.unit.store == "global":
            return await commit(self, reads, writes)
        batch = self.unit.batch("regional", None, self._epoch, keep_writes=True)
        batch.reads = {**batch.reads, **reads}
        batch.writes += writes
        return await self._ends.store.commit(batch)

    replace(Ends, "may", lambda *_: True)
    replace(Errand, "commit", commit_anyway)
    replace(Slot, "written", lambda self, standing: changed(written(self, standing), mode="any"))
