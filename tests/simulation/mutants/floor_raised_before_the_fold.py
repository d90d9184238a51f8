"""The floor rises, durably, before what lies below it is folded into the base: a crash in between loses it there."""

from proa.engines.sqlite.base import Base
from proa.engines.sqlite.region_store import SqliteRegionStore

fold = Base._fold


def plant(replace):
    replace(Base, "_fold", lambda base, commit: base.__dict__.setdefault("waiting", []).append(commit))
    replace(SqliteRegionStore, "compact", compact_in_two)


async def compact_in_two(store, retention):
    base = store._in.base
    if store.joining or not base.due(retention, store._in.durable_cursors):
        return 0
    count = await store._group.submit(lambda: base.compact(retention, store._in.cursors, store._in.parked))
    await store._group.submit(lambda: [fold(base, commit) for commit in base.__dict__.pop("waiting", [])])
    return count
