"""The result is recorded under its key after the commit, in a second transaction: a repeat or a crash comes between."""

from msgspec.structs import asdict

from proa.engines.sqlite import rows
from proa.engines.sqlite.global_store import SqliteGlobalStore
from proa.engines.sqlite.region_store import SqliteRegionStore
from proa.ports import Batch, Committed, Found


def plant(replace):
    for store in (SqliteRegionStore, SqliteGlobalStore):
        replace(store, "commit", commit_in_two)


async def commit_in_two(store, batch):
    outcome = batch.outcome
    if outcome and (known := await store.outcome(outcome.scope, outcome.key)):
        return Found(known)
    commit = store._units.commit if isinstance(store, SqliteRegionStore) else store._commit
    result = await store._group.submit(lambda: commit(Batch(**(asdict(batch) | {"outcome": None}))))
    if outcome and isinstance(result, Committed):
        await store._group.submit(lambda: rows.put_outcome(store._writer, outcome))
    return result
