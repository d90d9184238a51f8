"""A finished key is never looked up: every repeat of a request runs as if it were the first."""

from proa.engines.sqlite import rows
from proa.engines.sqlite.region_store import SqliteRegionStore


def plant(replace):
    replace(rows, "claim_outcome", overwritten)
    replace(SqliteRegionStore, "finished_lately", lambda *_: False)


def overwritten(connection, outcome, _now, *address):
    rows.put_outcome(connection, outcome, *address)
