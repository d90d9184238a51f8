"""A commit from another region is applied row by row: the first with its cursor, the others in the next batch."""

from proa.engines.sqlite.region_store import SqliteRegionStore, incoming


def plant(replace):
    replace(SqliteRegionStore, "_merge", merge_in_pieces)


def merge_in_pieces(store, commit, version):
    first, *others = [incoming(commit, write, version) for write in commit.writes] or [None]
    if first:
        store._merge_row(first)
    if commit.outcome:
        store._merge_outcome(commit.outcome)
    if others:
        store._group.submit(lambda: [store._merge_row(row) for row in others])
