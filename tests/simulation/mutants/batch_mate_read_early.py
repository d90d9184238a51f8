"""A read sees the rows of a batch whose fsync is still under way, and is answered without waiting for it."""

from proa.engines.sqlite import rows
from proa.engines.sqlite.global_store import SqliteGlobalStore
from proa.engines.sqlite.region_store import SqliteRegionStore


def plant(replace):
    for store in (SqliteRegionStore, SqliteGlobalStore):
        replace(store, "read", read_unsynced)


async def read_unsynced(store, keys):
    return rows.read_rows(store._writer, keys)
