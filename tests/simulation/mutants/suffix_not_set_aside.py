"""A region that comes back keeps the commits that it had made beyond the cut."""

from proa.engines.sqlite.region_store import SqliteRegionStore


def plant(replace):
    replace(SqliteRegionStore, "_set_aside", lambda *_: 0)
