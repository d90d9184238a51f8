"""The cursor is moved, durably, before the commits that it claims are applied: a crash in between loses them."""

from proa.core.replicate.journal import missing, parks
from proa.engines.sqlite.applying import _decode_commit
from proa.engines.sqlite.files import SQL
from proa.engines.sqlite.region_store import SqliteRegionStore


def plant(replace):
    replace(SqliteRegionStore, "apply", apply_later)


async def apply_later(store, entries, terms):
    due = await store._group.submit(lambda: list(moved(store._applying, entries, terms)))
    await store._group.submit(lambda: apply(store._applying, due, terms))
    return store.cursors()


def moved(applying, entries, terms):
    for entry in entries:
        commit = _decode_commit(entry)
        if applying._due(commit, terms.limits) and not missing(commit, applying._in.cursors):
            applying._in.cursors[commit.origin] = commit.seq
            yield commit, entry


def apply(applying, due, terms):
    inside, version = applying._in, applying._in.version()
    for commit, entry in due:
        inside.writer.execute(SQL["put_entry"], (commit.origin, commit.seq, entry))
        inside.stamps.observe(commit.stamp)
        if cut := parks(commit, terms.cuts, inside.parked):
            applying._park(commit, cut)
        else:
            applying._merging.commit(commit, version)
