"""The cursor is moved, durably, before the commits that it claims are applied: a crash in between loses them."""

from proa.core.replicate.journal import missing, parks
from proa.engines.sqlite.files import SQL
from proa.engines.sqlite.region_store import SqliteRegionStore, _decode_commit


def plant(replace):
    replace(SqliteRegionStore, "apply", apply_later)


async def apply_later(store, entries, terms):
    due = await store._group.submit(lambda: list(moved(store, entries, terms)))
    await store._group.submit(lambda: apply(store, due, terms))
    return store.cursors()


def moved(store, entries, terms):
    for entry in entries:
        commit = _decode_commit(entry)
        if store._due(commit, terms.limits) and not missing(commit, store._cursors):
            store._cursors[commit.origin] = commit.seq
            yield commit, entry


def apply(store, due, terms):
    version = store._version()
    for commit, entry in due:
        store._writer.execute(SQL["put_entry"], (commit.origin, commit.seq, entry))
        store._stamps.observe(commit.stamp)
        if cut := parks(commit, terms.cuts, store._parked):
            store._park(commit, cut)
        else:
            store._merge(commit, version)
