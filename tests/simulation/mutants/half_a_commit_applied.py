"""A commit from another region is applied row by row: the first with its cursor, the others in the next batch."""

from proa.engines.sqlite.merging import Merging, incoming
from proa.engines.sqlite.region_store import SqliteRegionStore

apply = SqliteRegionStore.apply


def plant(replace):
    replace(Merging, "commit", merge_the_first)
    replace(SqliteRegionStore, "apply", apply_in_pieces)


def merge_the_first(merging, commit, version):
    first, *others = [incoming(commit, write, version) for write in commit.writes] or [None]
    if first:
        merging.row(first)
    if commit.outcome:
        merging.outcome(commit.outcome)
    merging.__dict__.setdefault("others", []).extend(others)


async def apply_in_pieces(store, entries, terms):
    cursors = await apply(store, entries, terms)
    if others := store._merging.__dict__.pop("others", []):
        store._group.submit(lambda: [store._merging.row(row) for row in others])
    return cursors
