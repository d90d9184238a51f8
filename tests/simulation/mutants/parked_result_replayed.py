"""The commits past the cut are set aside, but their keys stay finished: a repeat is told that all is well."""

from proa.engines.sqlite.region_store import SqliteRegionStore


def plant(replace):
    replace(SqliteRegionStore, "_forget_outcome", lambda *_: None)
